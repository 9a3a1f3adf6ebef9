//! Compiles the `.proto` files in pure Rust, so that building needs no `protoc`.

use std::path::PathBuf;

const FILES: [&str; 9] = [
    "options", "error", "admin", "publish", "catalog", "deploy", "api", "key", "sync",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = FILES.map(|name| format!("gantry/v1/{name}.proto"));
    let mut compiler = protox::Compiler::new(["."])?;
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_files(&files)?;
    // Options of methods are extensions; only the encoded form keeps them.
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(
        out.join("descriptors.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    tonic_prost_build::configure()
        .bytes(".gantry.v1.UploadFileRequest.chunk")
        .bytes(".gantry.v1.ArtifactChunk.data")
        .bytes(".gantry.v1.DownloadFileResponse.data")
        .bytes(".gantry.v1.Document.body")
        .compile_fds(compiler.file_descriptor_set())?;
    println!("cargo:rerun-if-changed=gantry");
    Ok(())
}
