//! The README's commands, run in order as a newcomer would, and those of the pages that go on from there.

use crate::documents;

#[test]
fn commands_of_the_readme_and_of_the_pages_behind_it_work_in_order() {
    let pages = ["README.md", "docs/CATALOG.md", "docs/golang-plugins.md"];
    let out = documents::run(&pages, &["7400", "7401", "8080", "8081", "9000"]);
    assert!(
        out.contains("x-gantry-plugin: example-hooks"),
        "the answer was stamped:\n{out}"
    );
    assert!(
        out.contains("gantry.v1.DeployService"),
        "reflection answered:\n{out}"
    );
    assert!(
        out.contains(r#""already_published": true"#) || out.contains(r#""already_published":true"#),
        "the zip went in by plain HTTP:\n{out}"
    );
    for said in [
        "hello Ada",
        "served-by: Shop",
        "GATEWAY_VERSION_DIFFERS",
        "x-api: orders",
    ] {
        assert!(out.contains(said), "{said}: the Go plugins ran:\n{out}");
    }
}
