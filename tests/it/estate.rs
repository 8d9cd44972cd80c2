//! The reference estate, all of it: two databases and a bucket into the lake and a mart, twice, held against `PostgreSQL`'s
//! own answers; on each catalog.

use std::fs;
use std::process::Command;

use crate::database::Database;
use crate::place::Place;
use crate::scene::Scene;
use crate::services;

/// `specs/estate` with services of its own.
struct Estate {
    scene: Scene,
    bank: Database,
    clinic: Database,
    mart: Database,
    s3: services::S3,
    /// The folder of the bucket where results are dropped.
    landing: String,
    place: Place,
    /// `--env NAME`, or nothing.
    environment: Vec<&'static str>,
}

impl Estate {
    fn new() -> Option<Self> {
        let s3 = services::s3()?;
        let scene = Scene::copy_of("specs/estate");
        let seeded = |name: &str| {
            let seed = scene.path().join(format!("seed/{name}.sql"));
            let database = Database::new(&fs::read_to_string(seed).unwrap())?;
            move_connection(&scene, name, "options: {", &database.options(&scene, name));
            Some(database)
        };
        let (bank, clinic, mart) = (seeded("core_banking")?, seeded("clinic")?, seeded("mart")?);
        let landing = services::fresh_prefix();
        let options = format!("options: {}", s3.folder(&scene, &landing, ""));
        move_connection(&scene, "landing", "options:\n", &options);
        let estate = Self {
            scene,
            bank,
            clinic,
            mart,
            s3,
            landing,
            place: Place::embedded(),
            environment: Vec::new(),
        };
        estate.drop_off("seed/landing")?;
        Some(estate)
    }

    /// Puts a folder of the project into the landing folder of the bucket.
    fn drop_off(&self, folder: &str) -> Option<()> {
        let copy = "import sys, pyarrow.fs as fs
folder, to, endpoint, key, secret = sys.argv[1:]
scheme, address = endpoint.split('://')
store = fs.S3FileSystem(access_key=key, secret_key=secret, endpoint_override=address, scheme=scheme, region='us-east-1')
fs.copy_files(folder, to, source_filesystem=fs.LocalFileSystem(), destination_filesystem=store)";
        let output = Command::new(services::python()?)
            .args(["-c", copy])
            .arg(self.scene.path().join(folder))
            .arg(format!("{}/{}", self.s3.bucket, self.landing))
            .args([&self.s3.endpoint, &self.s3.access_key, &self.s3.secret_key])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        Some(())
    }

    /// Makes `environments: { prod: … }` of the project this lake and `more`, and uses it from now on.
    fn move_lake(&mut self, place: Place, more: &str) {
        let project = fs::read_to_string(self.scene.path().join("project.yaml")).unwrap();
        let (before, _) = project.split_once("environments:\n").unwrap();
        let lake = place.spec(&self.scene);
        let text = format!("{before}environments:\n  prod:\n    lake: {lake}\n{more}");
        self.scene.write("project.yaml", &text);
        self.environment = vec!["--env", "prod"];
        self.place = place;
    }

    fn run(&self) {
        let arguments = [&["run", "--all"], self.environment.as_slice()].concat();
        self.scene.good(&arguments);
    }

    fn query(&self, sql: &str) -> Vec<String> {
        let arguments = [
            &["query", "--format", "csv", sql],
            self.environment.as_slice(),
        ]
        .concat();
        let rows = self.scene.good(&arguments);
        rows.lines().skip(1).map(str::to_owned).collect()
    }

    /// What happens in the bank, the clinic and the laboratory between two runs.
    fn a_day_passes(&mut self) {
        self.bank.execute(
            "INSERT INTO bank.account SELECT i, 'branch 9', 'owner ' || i, date '2026-02-01', NULL FROM generate_series(201, 205) AS i;
             INSERT INTO bank.payment SELECT gen_random_uuid(), 1 + i, 12.34 * i - 600, 'EUR', 'new', t, t, NULL
                 FROM (SELECT i, timestamptz '2026-02-03Z' + i / 4 * interval '1 minute' AS t FROM generate_series(1, 200) AS i) AS new;
             INSERT INTO bank.payment
                 SELECT gen_random_uuid(), 7, 1000, 'USD', 'booked', max(updated_at), max(updated_at) - interval '3 minutes', NULL
                 FROM bank.payment WHERE updated_at < '2026-02-01';
             UPDATE bank.payment SET amount = amount + 1, status = 'returned', updated_at = '2026-02-04Z'
                 WHERE account_id = 20 AND amount > 1 AND updated_at < '2026-02-01'",
        );
        self.clinic.execute(
            "INSERT INTO clinic.visit SELECT i, 1 + i % 6, 'patient ' || i, timestamp '2026-02-12 08:00', NULL, '{}'
                 FROM generate_series(1201, 1300) AS i;
             UPDATE clinic.ward SET open = false WHERE ward_id = 2",
        );
        self.scene.write(
            "later/lab/day=2026-02-03/results.csv",
            "visit_id,test,value,measured_at\n1201,test 1,5.5,2026-02-12T09:00:00Z\n1202,test 1,,2026-02-12T09:00:00Z\n",
        );
        self.drop_off("later");
    }

    /// Every published table against the systems that it comes from. Payments that were changed are counted in
    /// `versions` more.
    fn is_right(&mut self, versions: u64) {
        let accounts = "SELECT count(*), sum(account_id), sum(credit_limit) FROM";
        assert_eq!(
            self.query(&format!("{accounts} fintech.account")),
            self.bank.query(&format!("{accounts} bank.account"))
        );
        let newest = "SELECT count(*), sum(amount), count(payment_id) FROM (SELECT *, row_number() OVER \
                      (PARTITION BY payment_id ORDER BY updated_at DESC) AS age FROM fintech.payment) AS v WHERE age = 1";
        let payments =
            "SELECT count(*), sum(amount), count(payment_id) FROM bank.payment WHERE amount <> 0";
        let payments = self.bank.query(payments);
        assert_eq!(self.query(newest), payments);
        let (count, _) = payments[0].split_once(',').unwrap();
        let all = count.parse::<u64>().unwrap() + versions;
        assert_eq!(
            self.query("SELECT count(*) FROM fintech.payment"),
            [all.to_string()]
        );
        let set_aside = "SELECT count(payment_id), max(amount), min(_rule), max(_rule) FROM fintech.payment_quarantine";
        assert_eq!(
            self.query(set_aside),
            ["10,0.00,amount is not zero,amount is not zero"]
        );

        let turnover = "day, branch, currency, payments, received, spent";
        let order = "ORDER BY day, branch, currency";
        let expected = self.bank.query(&format!(
            "SELECT paid_at::date AS day, branch, currency, count(*) AS payments, \
             sum(greatest(amount, 0))::numeric(20, 2) AS received, sum(greatest(-amount, 0))::numeric(20, 2) AS spent \
             FROM bank.payment JOIN bank.account USING (account_id) WHERE amount <> 0 GROUP BY 1, 2, 3 {order}"
        ));
        let lake = format!("SELECT {turnover} FROM fintech.daily_turnover {order}");
        assert_eq!(self.query(&lake), expected);
        let mart = format!("SELECT {turnover} FROM reporting.daily_turnover {order}");
        assert_eq!(self.mart.query(&mart), expected);

        let visits = "SELECT count(*), count(DISTINCT visit_id), sum(ward_id), count(diagnosis), max(visited_at) FROM";
        let clinic = self.clinic.query(&format!("{visits} clinic.visit"));
        let lake = self.query(&format!("{visits} medicine.visit"));
        assert_eq!(lake, clinic);
        let wards = "SELECT ward_id, name, floor FROM";
        assert_eq!(
            self.query(&format!("{wards} medicine.ward ORDER BY ward_id")),
            self.clinic
                .query(&format!("{wards} clinic.ward WHERE open ORDER BY ward_id"))
        );
    }

    fn results(&self) -> Vec<String> {
        self.query("SELECT count(*), sum(value), max(day) FROM medicine.lab_result")
    }
}

/// Replaces what a connection's spec says from `from` to the end of that line, or of the file for a block.
fn move_connection(scene: &Scene, name: &str, from: &str, options: &str) {
    let path = format!("connections/{name}.yaml");
    let spec = fs::read_to_string(scene.path().join(&path)).unwrap();
    let (before, after) = spec.split_once(from).unwrap();
    let rest = if from.ends_with('\n') {
        ""
    } else {
        after.split_once('\n').unwrap().1
    };
    scene.write(&path, &format!("{before}{options}\n{rest}"));
}

/// Two runs with a day between them, and a third with nothing new. Then other engines read the lake.
fn lives(estate: &mut Estate) {
    estate.run();
    estate.is_right(0);
    assert_eq!(estate.results(), ["114,5186.850,2026-02-02"]);
    let changed = estate
        .bank
        .query("SELECT count(*) FROM bank.payment WHERE account_id = 20 AND amount > 1");
    let changed = changed[0].parse().unwrap();
    assert!(changed > 5, "{changed} payments will change");
    estate.a_day_passes();
    estate.run();
    estate.is_right(changed);
    estate.run();
    estate.is_right(changed);
    assert_eq!(estate.results(), ["115,5192.350,2026-02-03"]);
    let Estate {
        scene,
        place,
        environment,
        ..
    } = estate;
    if let Some(tables) = scene.readers_agree_at(place, &["fintech", "medicine"], environment) {
        assert!(tables.keys().eq(TABLES), "{:?}", tables.keys());
    }
}

/// Every table that the pipelines publish, in order.
const TABLES: [&str; 8] = [
    "fintech.account",
    "fintech.daily_turnover",
    "fintech.payment",
    "fintech.payment_quarantine",
    "medicine.lab_result",
    "medicine.visit",
    "medicine.ward",
    "medicine.ward_day",
];

#[test]
fn on_the_embedded_catalog() {
    let Some(mut estate) = Estate::new() else {
        return;
    };
    lives(&mut estate);
}

#[test]
fn on_a_postgres_catalog() {
    let (Some(mut estate), Some(catalog)) = (Estate::new(), Database::new("")) else {
        return;
    };
    estate.move_lake(
        Place::postgres(catalog.url()),
        "    state: { postgres: { url: { file: secrets/catalog } } }\n",
    );
    lives(&mut estate);
    assert!(!estate.scene.path().join("lake/catalog.db").exists());
}

#[test]
fn on_a_rest_catalog_with_the_files_in_s3() {
    let (Some(mut estate), Some(place)) = (Estate::new(), Place::rest()) else {
        return;
    };
    estate.move_lake(place, "");
    lives(&mut estate);
}
