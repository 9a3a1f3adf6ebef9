//! Lets cargo build the command line again when the SDKs that it carries change, new files included.

fn main() {
    for folder in ["../sdk/go", "../sdk/go-tyk", "../sdk/c/include"] {
        println!("cargo::rerun-if-changed={folder}");
    }
}
