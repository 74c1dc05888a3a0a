//! The schemas in `topics/schemas/` are what the Rust types say. To write them anew:
//! `UPDATE_SCHEMAS=1 cargo test -p longshore-orders --test schemas`.

use std::fs;
use std::path::Path;

#[test]
fn the_schema_files_are_what_the_types_say() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../topics/schemas");
    let update = std::env::var_os("UPDATE_SCHEMAS").is_some_and(|value| value == "1");
    for (event, schema) in longshore_orders::schemas() {
        let file = dir.join(format!("{event}.json"));
        let wanted = serde_json::to_string_pretty(&schema).expect("JSON") + "\n";
        if update {
            fs::create_dir_all(&dir).expect("directory");
            fs::write(&file, &wanted).expect("schema written");
        }
        let found = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(
            found,
            wanted,
            "{} is out of date; run `UPDATE_SCHEMAS=1 cargo test -p longshore-orders --test schemas`",
            file.display()
        );
    }
}
