//! PyTorch files: real ones are read, forged ones refused, and what is written is what torch reads.
//!
//! The files beside `goldens/torch/make_torch_goldens.py` were made by it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use geosam_core::torch_file::{TensorDtype, TensorRef, TorchFile, Value, write_torch, write_torch_file};
use geosam_core::{EncodedImageFeatures, Error, FeaturePayload, FeaturePrecision, FeatureTensor, ModelType, Shape};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/torch").join(name)
}

fn open(name: &str) -> TorchFile {
    TorchFile::open(&golden(name)).unwrap()
}

/// The message of the error that opening gives, which must be an [`Error::InvalidFile`].
fn refusal(path: &Path) -> String {
    let error = TorchFile::open(path).unwrap_err();
    assert!(matches!(error, Error::InvalidFile { .. }), "{error}");
    error.to_string()
}

fn range(end: u16) -> Vec<f32> {
    (0..end).map(f32::from).collect()
}

const FORMS: [&str; 3] = ["zip.pt", "legacy.pt", "protocol4.pt"];

#[test]
fn every_dtype_is_read() {
    for form in FORMS {
        let file = open(form);
        for name in ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8"] {
            let tensor = file.tensor(&format!("model.dtype.{name}")).unwrap();
            assert_eq!(tensor.dtype().name(), name);
            assert_eq!(tensor.shape(), [2, 3]);
            assert_eq!(tensor.read_f32().unwrap(), range(6), "{form} {name}");
        }
        let flags = file.tensor("model.dtype.bool").unwrap().read_f32().unwrap();
        assert_eq!(flags, [0.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        for name in ["uint64", "uint32", "uint16"] {
            assert_eq!(file.tensor(&format!("young.{name}")).unwrap().read_f32().unwrap(), range(6), "{form} {name}");
        }
    }
}

#[test]
fn a_dtype_that_cannot_be_cast_is_raw_bytes() {
    for form in FORMS {
        let file = open(form);
        let complex = file.tensor("model.dtype.complex64").unwrap();
        assert_eq!(complex.dtype(), TensorDtype::Complex64);
        let parts: Vec<f32> =
            complex.read_bytes().unwrap().as_chunks().0.iter().map(|part| f32::from_le_bytes(*part)).collect();
        assert_eq!(parts, [0.0, 0.0, 1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0, 0.0, 5.0, 0.0]);
        let float8 = file.tensor("young.float8_e4m3fn").unwrap();
        assert_eq!(float8.read_bytes().unwrap(), [0x00, 0x38, 0x40, 0x44, 0x48, 0x4a]);
        let error = float8.read_f32().unwrap_err().to_string();
        assert!(error.contains("young.float8_e4m3fn"), "{error}");
    }
}

#[test]
fn strides_offsets_and_shared_storages_are_honoured() {
    for form in FORMS {
        let file = open(form);
        let read = |name: &str| file.tensor(&format!("model.{name}")).unwrap().read_f32().unwrap();
        assert_eq!(file.tensor("model.transposed").unwrap().shape(), [4, 3]);
        assert_eq!(read("transposed"), [0., 4., 8., 1., 5., 9., 2., 6., 10., 3., 7., 11.]);
        assert_eq!(read("slice"), [2.0, 5.0, 8.0]);
        assert_eq!(read("expanded"), [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
        assert_eq!(read("shared.a"), range(12));
        assert_eq!(read("shared.b"), [4.0, 5.0, 6.0, 7.0]);
        assert_eq!(read("scalar"), [7.0]);
        assert!(read("empty").is_empty());
        assert_eq!(read("parameter"), [1.5, -2.5]);
        let transposed = file.tensor("model.transposed").unwrap();
        assert_eq!(transposed.read_f32_range(2..5).unwrap(), [8.0, 1.0, 5.0]);
        assert!(transposed.read_f32_range(2..13).is_err());
    }
}

#[test]
fn plain_values_are_read() {
    for form in FORMS {
        let file = open(form);
        let get = |name: &str| file.root().get(&format!("plain.{name}")).unwrap();
        assert!(matches!(get("none"), Value::None));
        assert!(matches!(get("true"), Value::Bool(true)));
        assert_eq!(get("int").as_int(), Some(-3));
        assert_eq!(get("big").as_int(), Some(1 << 40));
        assert!(matches!(get("huge"), Value::Opaque(_)));
        assert!(matches!(get("float"), Value::Float(2.5)));
        assert_eq!(get("text").as_str(), Some("héllo"));
        assert!(matches!(get("bytes"), Value::Bytes(bytes) if bytes == b"\x00\xff"));
        assert_eq!(get("list.1.0").as_int(), Some(2));
        assert!(matches!(get("tuple"), Value::Tuple(items) if items.len() == 4));
        assert_eq!(get("size.1").as_int(), Some(3));
        assert_eq!(get("dtype").as_str(), Some("bfloat16"));
        assert_eq!(get("device").as_str(), Some("cpu"));
        assert!(matches!(get("numpy"), Value::Float(0.5)));
        assert!(matches!(get("array"), Value::Opaque(name) if name == "numpy.ndarray"));
        assert_eq!(get("set.0").as_int(), Some(5));
        assert_eq!(get("3").as_str(), Some("integer key"));
        assert!(matches!(get("args"), Value::Opaque(name) if name == "argparse.Namespace"));
        assert!(matches!(get("tagged"), Value::Opaque(name) if name == "__main__.Tagged"));
    }
}

#[test]
fn tensors_are_listed_by_path() {
    let file = open("zip.pt");
    let names: Vec<_> = file.root().tensors().iter().map(|tensor| tensor.name()).collect();
    assert_eq!(names.len(), 12 + 8 + 5);
    assert_eq!(names[0], "model.dtype.float64");
    assert!(file.tensor("model.absent").unwrap_err().to_string().contains("model.absent"));
    assert!(file.tensor("plain.int").unwrap_err().to_string().contains("found an int"));
}

#[test]
fn code_in_a_pickle_is_named_and_not_run() {
    for name in ["command.pt", "command_legacy.pt"] {
        let message = refusal(&golden(name));
        assert!(message.contains("posix.system") && message.contains("nothing was executed"), "{message}");
    }
    assert!(!Path::new("geosam-pickle-was-executed").exists());
}

#[test]
fn other_files_are_refused_with_their_kind() {
    let folder = tempfile::tempdir().unwrap();
    let write = |bytes: &[u8]| {
        let path = folder.path().join("other.pt");
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let zip = std::fs::read(golden("zip.pt")).unwrap();
    for (path, expected) in [
        (golden("torchscript.pt"), "TorchScript"),
        (golden("plain_pickle.pkl"), "another pickle"),
        (golden("big_endian.pt"), "big-endian"),
        (golden("compressed.pt"), "compressed"),
    ] {
        let message = refusal(&path);
        assert!(message.contains(expected), "{message}");
    }
    for (bytes, expected) in [
        (&b""[..], "an empty file"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
        (b"\x10\0\0\0\0\0\0\0{\"a\":1}", "safetensors"),
        (b"II*\0 and more", "49 49 2a 00"),
        (&zip[..zip.len() / 2], "truncated"),
    ] {
        let message = refusal(&write(bytes));
        assert!(message.contains(expected), "{message}");
    }
    assert!(matches!(TorchFile::open(&folder.path().join("absent.pt")), Err(Error::Io { .. })));
    assert!(matches!(TorchFile::open(folder.path()), Err(Error::Io { .. })));
}

#[test]
fn a_storage_shorter_than_its_tensor_is_an_error_of_that_tensor() {
    let file = open("short_storage.pt");
    let message = file.tensor("model.dtype.float64").unwrap().read_f32().unwrap_err().to_string();
    assert!(message.contains("model.dtype.float64") && message.contains("truncated"), "{message}");
    // Its storage has one byte less, too, but the view does not reach the end.
    assert_eq!(file.tensor("model.shared.b").unwrap().read_f32().unwrap(), [4.0, 5.0, 6.0, 7.0]);
}

#[test]
fn a_truncated_legacy_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("legacy.pt");
    let bytes = std::fs::read(golden("legacy.pt")).unwrap();
    for length in (1..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let message = refusal(&path);
        assert!(message.contains("truncated"), "{length}: {message}");
    }
}

/// A pickle in a zip archive, as an attacker could write it.
fn forge(folder: &Path, pickle: &[u8]) -> PathBuf {
    use std::io::Write;
    let path = folder.join("forged.pt");
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("forged/data.pkl", options).unwrap();
    zip.write_all(pickle).unwrap();
    zip.start_file("forged/data/0", options).unwrap();
    zip.write_all(&[0; 16]).unwrap();
    zip.finish().unwrap();
    path
}

/// `_rebuild_tensor_v2` of a 16-byte storage with the given pickled offset, shape and stride.
fn forged_tensor(offset_shape_stride: &[u8]) -> Vec<u8> {
    let mut pickle = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n".to_vec();
    pickle.extend(b"X\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ");
    pickle.extend(offset_shape_stride);
    pickle.extend(b"\x89NtR.");
    pickle
}

#[test]
fn forged_pickles_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    // Doubles itself forty times through the memo.
    let mut bomb = b"\x80\x02X\x01\0\0\0aq\x00".to_vec();
    for slot in 1..40u8 {
        bomb.extend([b'h', slot - 1, b'h', slot - 1, 0x86, b'q', slot]);
    }
    bomb.push(b'.');
    let nested = [&b"\x80\x02"[..], &[b']'; 10_000], &[b'a'; 9_999], b"."].concat();
    for (pickle, expected) in [
        (&bomb[..], "expands to more"),
        (b"\x80\x02]q\x00h\x00a.", "nested"),
        (&nested, "nested"),
        (b"\x80\x02X\xff\xff\xff\x7fabc.", "of text"),
        (b"\x80\x02X\xff\xff\xff\x00abc.", "truncated"),
        (b"\x80\x02K", "truncated"),
        (b"\x80\x02.", "without operands"),
        (b"\x80\x02(t0.", "without operands"),
        (b"\x80\x02h\x05.", "empty slot 5"),
        (b"\x80\x02cos\nsystem\nX\x01\0\0\0a\x85R.", "os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x01a\x85R.", "os.system"),
        (b"(S'a'\nios\nsystem\n.", "28 53 27"),
        (b"\x80\x02(S'a'\nios\nsystem\n.", "instruction 0x53"),
        (b"\x80\x09.", "protocol 9"),
        (&forged_tensor(b"J\xff\xff\xff\xffK\x04\x85K\x01\x85"), "size or offset"),
        (&forged_tensor(b"K\x00K\x04\x85K\x01K\x01\x86"), "stride"),
    ] {
        if pickle.starts_with(b"(S") {
            let path = folder.path().join("protocol0.pt");
            std::fs::write(&path, pickle).unwrap();
            assert!(refusal(&path).contains(expected));
            continue;
        }
        let message = refusal(&forge(folder.path(), pickle));
        assert!(message.contains(expected), "{expected}: {message}");
    }
    // The class of an object may be anything: it is not made.
    let file = TorchFile::open(&forge(folder.path(), b"\x80\x02csubprocess\nPopen\nX\x01\0\0\0a\x85\x81.")).unwrap();
    assert!(matches!(file.root(), Value::Opaque(name) if name == "subprocess.Popen"));
}

#[test]
fn forged_tensors_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let huge = b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f";
    for (layout, expected) in [
        (b"K\x00K\x05\x85K\x01\x85".to_vec(), "truncated storage of 16 bytes"),
        (b"K\x01K\x04\x85K\x01\x85".to_vec(), "truncated"),
        (b"K\x00K\x02\x85K\x04\x85".to_vec(), "truncated"),
        ([&b"K\x00"[..], huge, b"\x85K\x01\x85"].concat(), "truncated"),
        ([&b"K\x00"[..], huge, huge, b"\x86K\x01K\x01\x86"].concat(), "truncated"),
        ([huge, &b"K\x04\x85K\x01\x85"[..]].concat(), "truncated"),
        ([&b"K\x00K\x02\x85"[..], huge, b"\x85"].concat(), "truncated"),
        // Stride 0 needs no storage, but memory.
        (b"K\x00J\xff\xff\xff\x7f\x85K\x00\x85".to_vec(), "exceed the limit"),
    ] {
        let file = TorchFile::open(&forge(folder.path(), &forged_tensor(&layout))).unwrap();
        let tensor = file.root().as_tensor().unwrap();
        for error in [tensor.read_f32().unwrap_err(), tensor.read_bytes().unwrap_err()] {
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}

/// Reads everything a file offers; what it says is of no interest.
fn exercise(path: &Path) {
    if let Ok(file) = TorchFile::open(path) {
        for tensor in file.root().tensors() {
            drop(tensor.read_f32());
            drop(tensor.read_bytes());
        }
    }
    drop(EncodedImageFeatures::load_pt(path));
}

#[test]
fn damaged_files_never_panic() {
    // splitmix64: deterministic, so that a failure can be repeated.
    let mut state = 1u64;
    let mut random = move |below: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 16) as usize % below
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.pt");
    for name in ["zip.pt", "legacy.pt", "protocol4.pt", "chip_sam2.pt"] {
        let whole = std::fs::read(golden(name)).unwrap();
        for _ in 0..400 {
            let mut bytes = whole.clone();
            for _ in 0..=random(4) {
                let at = random(bytes.len());
                bytes[at] = if random(2) == 0 { random(256) as u8 } else { bytes[at] ^ (1 << random(8)) };
            }
            if random(4) == 0 {
                bytes.truncate(random(bytes.len()));
            }
            // A new file each time: truncating an old one makes some file systems flush.
            drop(std::fs::remove_file(&path));
            std::fs::write(&path, &bytes).unwrap();
            exercise(&path);
        }
    }
}

/// What `goldens/torch/written.pt` holds.
fn written() -> Value {
    let f32 = |shape: &[usize], values: &[f32]| Value::Tensor(TensorRef::from_f32(shape, values).unwrap());
    let u16 = TensorRef::in_memory(TensorDtype::U16, &[2], vec![1, 0, 255, 255]).unwrap();
    let list = vec![Value::Int(1), Value::Str("two".into()), Value::None, Value::Bool(true)];
    let nested = Value::dict([
        ("list", Value::List(list)),
        ("tuple", Value::Tuple(vec![Value::Int(300), Value::Int(-70000), Value::Int(1 << 40)])),
        ("float", Value::Float(2.5)),
        ("bytes", Value::Bytes(vec![0, 255])),
        ("u16", Value::Tensor(u16)),
    ]);
    Value::dict([
        ("f32", f32(&[2, 3], &range(6))),
        ("f16", Value::Tensor(TensorRef::from_f32_as_f16(&[2], &[0.5, -1.0]).unwrap())),
        ("scalar", f32(&[], &[7.0])),
        ("empty", f32(&[0, 3], &[])),
        ("nested", nested),
    ])
}

#[test]
#[ignore = "rewrites golden files; run make_torch_goldens.py afterwards, which checks them"]
fn rewrite_written_goldens() {
    write_torch_file(&golden("written.pt"), &written()).unwrap();
    chip(sam2_payload()).save_pt(&golden("written_chip.pt"), FeaturePrecision::F32).unwrap();
}

#[test]
fn written_bytes_are_those_torch_was_shown() {
    let mut out = std::io::Cursor::new(Vec::new());
    write_torch(&mut out, "written", &written()).unwrap();
    assert!(out.into_inner() == std::fs::read(golden("written.pt")).unwrap());

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("written_chip.pt");
    chip(sam2_payload()).save_pt(&path, FeaturePrecision::F32).unwrap();
    assert!(std::fs::read(path).unwrap() == std::fs::read(golden("written_chip.pt")).unwrap());
}

#[test]
fn written_files_are_read_back_and_copied() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("a.pt"), folder.path().join("b.pt"));
    // A file that torch wrote, strided and shared tensors included.
    let model = open("zip.pt").root().get("model").unwrap().clone();
    write_torch_file(&first, &model).unwrap();
    let copy = TorchFile::open(&first).unwrap();
    write_torch_file(&second, copy.root()).unwrap();
    for (ours, theirs) in TorchFile::open(&second).unwrap().root().tensors().iter().zip(model.tensors()) {
        assert_eq!(format!("model.{}", ours.name()), theirs.name());
        assert_eq!((ours.dtype(), ours.shape()), (theirs.dtype(), theirs.shape()));
        assert_eq!(ours.read_bytes().unwrap(), theirs.read_bytes().unwrap());
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "temporary files are left");
}

#[test]
fn what_cannot_be_written_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pt");
    write_torch_file(&path, &Value::Int(1)).unwrap();
    assert!(write_torch_file(&path, &Value::Opaque("argparse.Namespace".into())).is_err());
    assert_eq!(TorchFile::open(&path).unwrap().root().as_int(), Some(1));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let error = write_torch_file(&folder.path().join("absent/a.pt"), &Value::None).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

#[test]
fn tensors_need_as_many_values_as_their_shape() {
    assert!(TensorRef::from_f32(&[2, 2], &[1.0]).is_err());
    assert!(TensorRef::in_memory(TensorDtype::F16, &[usize::MAX, 2], vec![]).is_err());
}

fn chip(payload: FeaturePayload) -> EncodedImageFeatures {
    let (model_type, checkpoint) = match payload {
        FeaturePayload::Sam(_) => (ModelType::Sam, "sam_b"),
        FeaturePayload::Sam2 { .. } => (ModelType::Sam2, "sam2.1_t"),
    };
    EncodedImageFeatures {
        model_type,
        checkpoint_path: format!("/models/{checkpoint}.pt"),
        src_shape: Shape::new(100, 200),
        dst_shape: Shape::square(1024),
        payload,
    }
}

fn tensor(shape: &[usize], values: Vec<f32>) -> FeatureTensor {
    FeatureTensor::new(shape.to_vec(), values).unwrap()
}

fn sam_payload() -> FeaturePayload {
    FeaturePayload::Sam(tensor(&[1, 4, 2, 2], range(16).iter().map(|v| v / 3.0).collect()))
}

fn sam2_payload() -> FeaturePayload {
    let FeaturePayload::Sam(image_embed) = sam_payload() else { unreachable!() };
    let levels = vec![tensor(&[1, 2, 2, 2], range(8)), tensor(&[1, 2, 1, 1], range(2))];
    FeaturePayload::Sam2 { image_embed, high_res_feats: levels }
}

#[test]
fn chips_of_python_geosam_are_read() {
    assert_eq!(EncodedImageFeatures::load_pt(&golden("chip_sam.pt")).unwrap(), chip(sam_payload()));
    assert_eq!(EncodedImageFeatures::load_pt(&golden("chip_sam2.pt")).unwrap(), chip(sam2_payload()));
    // Without feature_kind, shapes as lists, bfloat16.
    let rounded = EncodedImageFeatures::load_pt(&golden("chip_bf16_list.pt")).unwrap();
    assert_eq!((rounded.src_shape, rounded.dst_shape), (Shape::new(100, 200), Shape::square(1024)));
    let FeaturePayload::Sam(features) = rounded.payload else { panic!("not a SAM payload") };
    assert!(features.values().iter().zip(range(16)).all(|(v, i)| (v - i / 3.0).abs() <= i / 3.0 / 256.0));
}

#[test]
fn chips_are_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chip_000000.pt");
    for payload in [sam_payload(), sam2_payload()] {
        let features = chip(payload);
        features.save_pt(&path, FeaturePrecision::F32).unwrap();
        assert_eq!(EncodedImageFeatures::load_pt(&path).unwrap(), features);
        features.save_pt(&path, FeaturePrecision::F16).unwrap();
        let rounded = EncodedImageFeatures::load_pt(&path).unwrap();
        assert_eq!(rounded.checkpoint_path, features.checkpoint_path);
        for (ours, exact) in rounded.payload.tensors().zip(features.payload.tensors()) {
            assert_eq!(ours.shape(), exact.shape());
            assert!(ours.values().iter().zip(exact.values()).all(|(o, e)| (o - e).abs() <= e.abs() / 2048.0));
        }
    }
}

#[test]
fn chips_with_missing_or_odd_entries_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chip.pt");
    let whole = TorchFile::open(&golden("chip_sam2.pt")).unwrap().root().clone();
    let Value::Dict(entries) = &whole else { panic!("not a dict") };
    let message = |value: &Value| {
        write_torch_file(&path, value).unwrap();
        EncodedImageFeatures::load_pt(&path).unwrap_err().to_string()
    };
    for key in ["model_type", "checkpoint_path", "src_shape", "dst_shape", "features"] {
        let without = entries.iter().filter(|(k, _)| k.as_str() != Some(key)).cloned().collect();
        assert!(message(&Value::Dict(without)).contains(key));
        let odd =
            entries.iter().map(|(k, v)| (k.clone(), if k.as_str() == Some(key) { Value::None } else { v.clone() }));
        assert!(message(&Value::Dict(odd.collect())).contains(key));
    }
    assert!(message(&Value::Int(1)).contains("an int"));
    let checkpoint = EncodedImageFeatures::load_pt(&golden("zip.pt")).unwrap_err().to_string();
    assert!(checkpoint.contains("model, young, plain"), "{checkpoint}");
}
