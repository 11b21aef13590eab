//! Prompts and polygons from vector files, polygons and masks into files, and pictures of them.

#![allow(clippy::unwrap_used)]

mod failed_writes;
mod masks;
mod overlays;
mod polygon_masks;
mod polygons;
mod prompts;
mod streams;

use std::path::Path;

use gdal::DriverManager;
use gdal::spatial_ref::{AxisMappingStrategy, SpatialRef};
use gdal::vector::{
    Feature, FieldDefn, FieldValue, Geometry, LayerAccess, LayerOptions, OGRFieldType, OGRwkbGeometryType,
};

/// Write a layer with OGR, independently of the code under test.
fn write_layer(path: &Path, driver: &str, crs: Option<&str>, features: &[(&str, &[(&str, FieldValue)])]) {
    let mut dataset = DriverManager::get_driver_by_name(driver).unwrap().create_vector_only(path).unwrap();
    add_layer(&mut dataset, "layer", crs, features);
    dataset.close().unwrap();
}

fn add_layer(dataset: &mut gdal::Dataset, name: &str, crs: Option<&str>, features: &[(&str, &[(&str, FieldValue)])]) {
    let srs = crs.map(|crs| {
        let mut srs = SpatialRef::from_definition(crs).unwrap();
        srs.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
        srs
    });
    let geometries: Vec<_> = features.iter().map(|(wkt, _)| Geometry::from_wkt(wkt).unwrap()).collect();
    // A shapefile holds one type of geometry.
    let ty = geometries.first().map_or(OGRwkbGeometryType::wkbPoint, Geometry::geometry_type);
    let layer = dataset.create_layer(LayerOptions { name, srs: srs.as_ref(), ty, options: None }).unwrap();
    let mut fields: Vec<(&str, OGRFieldType::Type)> = Vec::new();
    for (name, value) in features.iter().flat_map(|(_, fields)| *fields) {
        if !fields.iter().any(|(known, _)| known == name) {
            fields.push((name, value.ogr_field_type()));
        }
    }
    for (name, kind) in &fields {
        FieldDefn::new(name, *kind).unwrap().add_to_layer(&layer).unwrap();
    }
    for (geometry, (_, values)) in geometries.into_iter().zip(features) {
        let mut feature = Feature::new(layer.defn()).unwrap();
        feature.set_geometry(geometry).unwrap();
        for (name, value) in *values {
            let index = fields.iter().position(|(known, _)| known == name).unwrap();
            feature.set_field(index, value).unwrap();
        }
        feature.create(&layer).unwrap();
    }
}
