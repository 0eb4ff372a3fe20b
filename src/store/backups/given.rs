//! A database that the configuration gives to drills: whether nothing of anybody else's is in it, that it is a drill's
//! for now, and emptied again. The note that it is lies in it, as a table with a comment, and with the extensions that were
//! there before.

use sea_orm::{ConnectionTrait as _, FromQueryResult};

use super::elsewhere::Elsewhere;
use crate::{error::Result, store::sql::Sql};

/// Any number that no other program is likely to lock.
const LOCK: &str = "7166283105";
/// Schemas of people, by their columns `n`.
const OF_PEOPLE: &str =
    "n.nspname <> 'information_schema' AND NOT starts_with(n.nspname::text, 'pg_')";

/// Types that are no table's.
const OWN_TYPE: &str = "(t.typtype IN ('e', 'd', 'r') \
                        OR EXISTS (SELECT 1 FROM pg_class k WHERE k.oid = t.typrelid AND k.relkind = 'c'))";

/// That an extension has brought what is called `x`.
const BROUGHT: &str =
    "EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = x.oid AND d.deptype = 'e')";

/// What is in a database of PostgreSQL that no extension has brought, the first by its name; but for the note.
const FIRST: &str = "SELECT min(label) AS text FROM ( \
    SELECT format('%I.%I', n.nspname, c.relname) AS label FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
      WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND PEOPLE AND c.oid IS DISTINCT FROM to_regclass('public.watchbell_drill') \
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') \
    UNION ALL SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
      WHERE PEOPLE AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e') \
    UNION ALL SELECT format('type %I.%I', n.nspname, t.typname) FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
      WHERE OWN_TYPE AND PEOPLE \
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = t.oid AND d.deptype = 'e') \
    UNION ALL SELECT format('schema %I', n.nspname) FROM pg_namespace n WHERE n.nspname <> 'public' AND PEOPLE \
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = n.oid AND d.deptype = 'e') \
    UNION ALL SELECT format('collation %I.%I', n.nspname, x.collname) FROM pg_collation x JOIN pg_namespace n \
      ON n.oid = x.collnamespace WHERE PEOPLE AND NOT BROUGHT \
    UNION ALL SELECT format('text search configuration %I.%I', n.nspname, x.cfgname) FROM pg_ts_config x \
      JOIN pg_namespace n ON n.oid = x.cfgnamespace WHERE PEOPLE AND NOT BROUGHT \
    UNION ALL SELECT format('text search dictionary %I.%I', n.nspname, x.dictname) FROM pg_ts_dict x \
      JOIN pg_namespace n ON n.oid = x.dictnamespace WHERE PEOPLE AND NOT BROUGHT \
    UNION ALL SELECT format('operator %s', x.oid::regoperator) FROM pg_operator x JOIN pg_namespace n \
      ON n.oid = x.oprnamespace WHERE PEOPLE AND NOT BROUGHT \
    UNION ALL SELECT format('server %I', x.srvname) FROM pg_foreign_server x WHERE NOT BROUGHT \
    UNION ALL SELECT format('event trigger %I', x.evtname) FROM pg_event_trigger x WHERE NOT BROUGHT \
    UNION ALL SELECT format('publication %I', x.pubname) FROM pg_publication x \
    UNION ALL SELECT format('large object %s', oid) FROM pg_largeobject_metadata) AS found";

/// Removal of all of that, and of the note last: in one transaction. Extensions stay that were there before; where an
/// older version's note does not say which, all do. Sequences come after the tables that some belong to.
const EMPTY: &str = "DO $$ DECLARE one record; BEGIN \
    FOR one IN SELECT x.evtname FROM pg_event_trigger x WHERE NOT BROUGHT AND pg_has_role(x.evtowner, 'USAGE') \
      LOOP EXECUTE format('DROP EVENT TRIGGER IF EXISTS %I CASCADE', one.evtname); END LOOP; \
    FOR one IN SELECT x.pubname FROM pg_publication x WHERE pg_has_role(x.pubowner, 'USAGE') \
      LOOP EXECUTE format('DROP PUBLICATION IF EXISTS %I CASCADE', one.pubname); END LOOP; \
    FOR one IN SELECT x.srvname FROM pg_foreign_server x WHERE NOT BROUGHT AND pg_has_role(x.srvowner, 'USAGE') \
      LOOP EXECUTE format('DROP SERVER IF EXISTS %I CASCADE', one.srvname); END LOOP; \
    IF EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass('public.watchbell_drill') AND attname = 'extension') THEN \
      FOR one IN EXECUTE 'SELECT extname FROM pg_extension JOIN pg_roles r ON r.oid = extowner \
        WHERE r.rolname = current_user AND extname NOT IN (SELECT extension FROM public.watchbell_drill)' \
        LOOP EXECUTE format('DROP EXTENSION IF EXISTS %I CASCADE', one.extname); END LOOP; \
    END IF; \
    FOR one IN SELECT n.nspname FROM pg_namespace n WHERE n.nspname <> 'public' AND PEOPLE \
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = n.oid AND d.deptype = 'e') \
      LOOP EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', one.nspname); END LOOP; \
    FOR one IN SELECT c.relname, CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' \
        WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END AS kind FROM pg_class c \
      WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') \
      AND c.relname <> 'watchbell_drill' \
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') \
      ORDER BY c.relkind = 'S' \
      LOOP EXECUTE format('DROP %s IF EXISTS public.%I CASCADE', one.kind, one.relname); END LOOP; \
    FOR one IN SELECT t.typname FROM pg_type t WHERE t.typnamespace = 'public'::regnamespace \
      AND OWN_TYPE \
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = t.oid AND d.deptype = 'e') \
      LOOP EXECUTE format('DROP TYPE IF EXISTS public.%I CASCADE', one.typname); END LOOP; \
    FOR one IN SELECT x.collname AS name, 'COLLATION' AS kind FROM pg_collation x \
        WHERE x.collnamespace = 'public'::regnamespace AND NOT BROUGHT \
      UNION ALL SELECT x.cfgname, 'TEXT SEARCH CONFIGURATION' FROM pg_ts_config x \
        WHERE x.cfgnamespace = 'public'::regnamespace AND NOT BROUGHT \
      UNION ALL SELECT x.dictname, 'TEXT SEARCH DICTIONARY' FROM pg_ts_dict x \
        WHERE x.dictnamespace = 'public'::regnamespace AND NOT BROUGHT \
      LOOP EXECUTE format('DROP %s IF EXISTS public.%I CASCADE', one.kind, one.name); END LOOP; \
    FOR one IN SELECT x.oid FROM pg_operator x WHERE x.oprnamespace = 'public'::regnamespace AND NOT BROUGHT \
      LOOP IF EXISTS (SELECT 1 FROM pg_operator WHERE oid = one.oid) THEN \
        EXECUTE format('DROP OPERATOR %s CASCADE', one.oid::regoperator); END IF; END LOOP; \
    FOR one IN SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace \
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e') \
      LOOP IF EXISTS (SELECT 1 FROM pg_proc WHERE oid = one.oid) THEN \
        EXECUTE format('DROP ROUTINE %s CASCADE', one.oid::regprocedure); END IF; END LOOP; \
    PERFORM lo_unlink(oid) FROM pg_largeobject_metadata; \
    DROP TABLE IF EXISTS public.watchbell_drill; \
    END $$";

#[derive(FromQueryResult)]
struct Text {
    text: Option<String>,
}

#[derive(FromQueryResult)]
struct Locked {
    locked: bool,
}

impl Elsewhere {
    /// Whether this is the only drill in the database from now on, for as long as this connection lives.
    pub async fn lock_given(&self) -> Result<bool> {
        let select = Sql::new(
            self.connection().get_database_backend(),
            "SELECT pg_try_advisory_lock(",
        );
        let select = select.push(LOCK).push(") AS locked").done();
        let row = self.connection().query_one_raw(select).await?;
        let locked = row.map(|row| Locked::from_query_result(&row, ""));
        Ok(locked.transpose()?.is_some_and(|row| row.locked))
    }

    /// The note that a drill has left in the database; none where there is none.
    pub async fn note_given(&self) -> Result<Option<String>> {
        self.text_given(
            "SELECT coalesce(obj_description(to_regclass('public.watchbell_drill'), 'pg_class'), '') AS text \
             FROM pg_class WHERE oid = to_regclass('public.watchbell_drill')",
        )
        .await
    }

    /// Something that is in the database besides that note; none where there is nothing.
    pub async fn first_given(&self) -> Result<Option<String>> {
        self.text_given(&whole(FIRST)).await
    }

    /// Notes in the database that all that will be in it is a drill's, but for extensions that are there.
    pub async fn take_given(&self, note: &str) -> Result<()> {
        let note = note.replace('\'', "''");
        let take = format!(
            "SET standard_conforming_strings = on; \
             CREATE TABLE public.watchbell_drill AS SELECT extname AS extension FROM pg_extension; \
             COMMENT ON TABLE public.watchbell_drill IS '{note}'"
        );
        self.connection().execute_unprepared(&take).await?;
        Ok(())
    }

    /// Removes all that is in the database, and the note with it.
    pub async fn empty_given(&self) -> Result<()> {
        let empty = whole(EMPTY);
        self.connection().execute_unprepared(&empty).await?;
        Ok(())
    }

    async fn text_given(&self, select: &str) -> Result<Option<String>> {
        let select = Sql::new(self.connection().get_database_backend(), select).done();
        let row = self.connection().query_one_raw(select).await?;
        let text = row.map(|row| Text::from_query_result(&row, ""));
        Ok(text.transpose()?.and_then(|row| row.text))
    }
}

fn whole(statement: &str) -> String {
    let statement = statement.replace("PEOPLE", OF_PEOPLE);
    let statement = statement.replace("BROUGHT", BROUGHT);
    statement.replace("OWN_TYPE", OWN_TYPE)
}
