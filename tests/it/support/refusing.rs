//! A database that refuses rows, as it does for good.

use sea_orm::ConnectionTrait as _;

use super::Site;

impl Site {
    /// From now on refuses to do this (INSERT, UPDATE or DELETE) to rows of a table of which this holds: in it `ROW` is
    /// the row.
    pub(crate) async fn refuse(&self, verb: &str, table: &str, rows: &str) {
        let database = self.database.connect(self.data()).await;
        let row = if verb == "DELETE" { "OLD" } else { "NEW" };
        let when = rows.replace("ROW", row);
        let statements = if self.database.is_postgresql() {
            vec![
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
                 $$BEGIN RAISE EXCEPTION 'not this one'; END$$"
                    .to_owned(),
                format!(
                    "CREATE TRIGGER refuse BEFORE {verb} ON {table} FOR EACH ROW WHEN ({when}) \
                     EXECUTE FUNCTION refuse()"
                ),
            ]
        } else {
            vec![format!(
                "CREATE TRIGGER refuse BEFORE {verb} ON {table} WHEN {when} \
                 BEGIN SELECT RAISE(ABORT, 'not this one'); END"
            )]
        };
        for statement in statements {
            database.execute_unprepared(&statement).await.unwrap();
        }
    }

    /// Takes back what was refused of a table.
    pub(crate) async fn allow(&self, table: &str) {
        let database = self.database.connect(self.data()).await;
        let statements = if self.database.is_postgresql() {
            vec![
                format!("DROP TRIGGER refuse ON {table}"),
                "DROP FUNCTION refuse()".to_owned(),
            ]
        } else {
            vec!["DROP TRIGGER refuse".to_owned()]
        };
        for statement in statements {
            database.execute_unprepared(&statement).await.unwrap();
        }
    }
}
