//! The `geosam` command: encode rasters into feature folders, and answer prompts from them.

mod arguments;
mod auto;
mod chips;
mod console;
mod encode;
mod info;
mod models;
mod output_files;
mod query;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Segment satellite, aerial and drone images with SAM-family models: encode once, query many times.
#[derive(Debug, Parser)]
#[command(name = "geosam", version, propagate_version = true, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Encode(encode::Encode),
    Query(query::Query),
    Auto(auto::Auto),
    Info(info::Info),
    Chips(chips::Chips),
    Models(models::Models),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return console::print_usage_error(&error),
    };
    let outcome = match cli.command {
        Command::Encode(command) => command.run(),
        Command::Query(command) => command.run(),
        Command::Auto(command) => command.run(),
        Command::Info(command) => command.run(),
        Command::Chips(command) => command.run(),
        Command::Models(command) => command.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::print_error(&error);
            // What a shell reports of a program that Ctrl-C ended.
            if let geosam::Error::Cancelled { .. } = error { ExitCode::from(130) } else { ExitCode::FAILURE }
        }
    }
}
