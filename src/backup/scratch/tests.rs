//! Databases that open, and have fewer rows than were dumped.

use std::collections::BTreeMap;

use super::*;

#[tokio::test]
async fn a_database_with_fewer_rows_is_not_what_was_dumped() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("some.db");
    let statements = [
        "CREATE TABLE bells (id INTEGER)",
        "INSERT INTO bells VALUES (1), (2), (3)",
    ];
    Elsewhere::made_of(&file, &statements).await;
    let dump = |rows: i64| DumpRecord {
        path: "/database/some.db".into(),
        size: 0,
        sha256: String::new(),
        server_version: String::new(),
        tables: BTreeMap::from([("bells".to_owned(), rows)]),
        schema: String::new(),
        references: 0,
        referenced_bytes: 0,
    };
    let same = count_sqlite(&dump(3), &file).await.unwrap();
    assert_eq!(same, Scratch::Same(3));
    let fewer = count_sqlite(&dump(4), &file).await.unwrap();
    let said = "bells has 3 rows and had 4".to_owned();
    assert_eq!(fewer, Scratch::Failed(said));
    assert!(
        count_sqlite(&dump(3), &folder.path().join("none"))
            .await
            .is_err()
    );
}

#[test]
fn what_an_extension_brings_is_not_compared() {
    let tables = |rows: [(&str, i64); 2]| {
        let named = rows.map(|(table, rows)| (table.to_owned(), rows));
        BTreeMap::from(named)
    };
    let dump = DumpRecord {
        path: "/sources/gis.dump".into(),
        size: 0,
        sha256: String::new(),
        server_version: String::new(),
        tables: tables([("bells", 3), ("spatial_ref_sys", 8500)]),
        schema: String::new(),
        references: 0,
        referenced_bytes: 0,
    };
    let mut facts = DumpFacts {
        tables: tables([("bells", 3), ("spatial_ref_sys", 8534)]),
        ..DumpFacts::default()
    };
    let judged = judge(&dump, &facts, &Orphans::default());
    assert!(matches!(judged, Scratch::Failed(_)), "{judged:?}");
    facts.tables.remove("spatial_ref_sys");
    facts.of_extensions.insert("spatial_ref_sys".to_owned());
    let judged = judge(&dump, &facts, &Orphans::default());
    assert_eq!(judged, Scratch::Same(3));
}
