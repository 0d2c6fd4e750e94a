//! A commissioning hour (trial O1): a meter is read in a wrong byte order, from a wrong base, from the wrong area and with the
//! profile of another make, and then rightly. `status` names what to change, and nothing that was read wrongly is energy.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tests::ours::centre::Centre;
use tests::ours::gateway::{self, Gateway};
use tests::ours::{Ran, one_meter, query, run};
use tests::peers::broker::Mosquitto;
use tests::peers::modbus::ModbusServer;

const SOON: Duration = Duration::from_secs(40);
const EXIT_IMPLAUSIBLE: Option<i32> = Some(16);

/// Where the register of energy begins, and what it counts in a second, in 0.01 kWh.
const START: u64 = 18_348_210;
const PER_SECOND: u64 = 100;

/// A meter whose 32-bit values stand in the input registers, the low word first; its holding registers are its settings.
fn meter() -> Value {
    let float = |address: u16, value: f64| json!({ "address": address, "float": value, "word_order": "little" });
    let counter = json!({
        "address": 16, "word_order": "little",
        "counter": { "start": START, "per_second": PER_SECOND, "words": 2 },
    });
    let input = [
        float(0, 231.897),
        float(2, 229.123),
        float(4, 233.012),
        float(6, 12.3457),
        float(8, 11.9877),
        float(10, 5_512.35),
        float(12, 0.934_51),
        float(14, 49.9873),
        counter,
        json!({ "address": 18, "words": [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] }),
        json!({ "address": 30, "words": vec![7; 100] }),
    ];
    let settings: Vec<u16> = (0..130).map(|at: u16| 0x5000 + at * 111).collect();
    json!({ "units": [{ "unit_id": 1, "input": input, "holding": [{ "address": 0, "words": settings }] }] })
}

/// Its profile with these options; the registers as they stand on the wire.
fn profile(options: &str) -> String {
    let text = format!(
        "maker = \"Acme\"\nmodel = \"One\"\nprotocol = \"modbus\"\n\
         [[source]]\nid = \"test\"\ntitle = \"the server of this test\"\n[modbus]\ntype = \"f32\"\n{options}\n"
    );
    let gauges = [
        ("u_l1", "V"),
        ("u_l2", "V"),
        ("u_l3", "V"),
        ("i_l1", "A"),
        ("i_l2", "A"),
        ("p_total", "W"),
        ("pf_total", "1"),
        ("f", "Hz"),
    ];
    let gauge = |((metric, unit), register): ((&str, &str), i32)| {
        format!(
            "[[point]]\nmetric = \"{metric}\"\nunit = \"{unit}\"\nkind = \"gauge\"\nregister = {register}\nsource = \"test\"\n"
        )
    };
    let gauges: Vec<String> = gauges.into_iter().zip((0..).step_by(2)).map(gauge).collect();
    text + &gauges.concat()
        + "[[point]]\nmetric = \"e_import\"\nunit = \"kWh\"\nkind = \"counter\"\nmodulus = \"unknown\"\n\
            register = 16\ntype = \"u32\"\nscale = 0.01\nsource = \"test\"\n"
}

struct Site {
    folder: tempfile::TempDir,
    _broker: Mosquitto,
    centre: Centre,
    server: ModbusServer,
    uplink: String,
    gateway: Option<Gateway>,
}

impl Site {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let broker = Mosquitto::start(folder.path()).unwrap();
        let centre = one_meter::centre(folder.path(), &broker.url()).unwrap();
        let served = one_meter::subfolder(folder.path(), "meter").unwrap();
        let server = ModbusServer::tcp(&served, &meter()).unwrap();
        let uplink = format!("url = \"{}\"", broker.url());
        Self { folder, _broker: broker, centre, server, uplink, gateway: None }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn settings(&self, profile: &str) -> String {
        format!(
            "{}\n[[port]]\nid = \"line\"\nprotocol = \"modbus\"\naddress = \"tcp://127.0.0.1:{}\"\n\n\
             [[device]]\nid = \"meter\"\nport = \"line\"\nprofile = \"{profile}\"\nunit = 1\npoll = \"100ms\"\n",
            gateway::head(&self.uplink),
            self.server.tcp_port().unwrap(),
        )
    }

    /// Reads the meter with this profile for a while; gives what `status` prints, and its JSON.
    fn read(&mut self, profile: &str, until: impl Fn(&Value) -> bool) -> (Ran, Value) {
        let settings = self.settings(profile);
        let gateway = match self.gateway.take() {
            Some(mut gateway) => {
                std::fs::write(gateway.settings_file(), settings).unwrap();
                gateway.start_again().unwrap();
                gateway
            }
            None => Gateway::start(self.path(), &settings).unwrap(),
        };
        let gateway = self.gateway.insert(gateway);
        let told = gateway.wait_for_status("its verdict", SOON, until).unwrap();
        std::thread::sleep(Duration::from_secs(1));
        gateway.wait_for_held(SOON).unwrap();
        let file = gateway.settings_file();
        let ran = run("nengliu-gateway", ["status", "-c", file.to_str().unwrap()]).unwrap();
        assert!(gateway.terminate().unwrap().success());
        (ran, told)
    }

    fn write_profile(&self, options: &str) {
        Gateway::write_profile(self.path(), "acme/one", &profile(options)).unwrap();
    }
}

fn code(status: &Value) -> &str {
    status["devices"]["meter"]["code"].as_str().unwrap_or_default()
}

fn quality<'a>(status: &'a Value, metric: &str) -> &'a str {
    let points = status["points"].as_array().unwrap();
    let is_it = |point: &&Value| point["point"].as_str().is_some_and(|name| name.ends_with(metric));
    points.iter().find(is_it).and_then(|point| point["quality"].as_str()).unwrap_or_default()
}

#[test]
fn nothing_that_is_read_wrongly_becomes_energy_and_status_names_what_to_change() {
    let mut site = Site::start();
    let implausible =
        |status: &Value| code(status) == "GW-M206" && !quality(status, "e_import").is_empty();
    let right = "area = \"input\"\norder32 = \"CDAB\"";

    // The commonest mistake of all.
    site.write_profile("area = \"input\"\norder32 = \"ABCD\"");
    let (shown, told) = site.read("acme/one", implausible);
    assert_eq!(shown.code, EXIT_IMPLAUSIBLE, "{shown:?}");
    assert!(shown.output.starts_with('◐'), "{}", shown.output);
    let sentence =
        "read as CDAB it would be 231.897 V: set `order32 = \"CDAB\"` in profile `acme/one`";
    assert!(shown.output.contains(sentence), "{}", shown.output);
    assert!(shown.output.contains("GW-M206: `u_l1` of `meter` = "), "{}", shown.output);
    assert_eq!(quality(&told, "u_l1"), "UncertainEngineeringUnitsExceeded", "{told:#}");
    assert_eq!(quality(&told, "e_import"), "UncertainConfigurationError", "{told:#}");

    // The numbers of the manual begin at 1, and nobody said so.
    let text = profile(right).replace("address_base", "");
    let mut one_higher = text.clone();
    for register in [16, 14, 12, 10, 8, 6, 4, 2, 0] {
        let (from, to) =
            (format!("register = {register}\n"), format!("register = {}\n", register + 1));
        one_higher = one_higher.replace(&from, &to);
    }
    Gateway::write_profile(site.path(), "acme/one", &one_higher).unwrap();
    let (shown, _) = site.read("acme/one", implausible);
    assert_eq!(shown.code, EXIT_IMPLAUSIBLE, "{shown:?}");
    assert!(shown.output.contains("set `address_base = 1` in profile"), "{}", shown.output);

    // The settings of the meter instead of its values.
    site.write_profile("area = \"holding\"\norder32 = \"CDAB\"");
    let (shown, told) = site.read("acme/one", implausible);
    assert_eq!(shown.code, EXIT_IMPLAUSIBLE, "{shown:?}");
    assert!(shown.output.contains("`nengliu-gateway check --online`"), "{}", shown.output);
    assert_eq!(quality(&told, "e_import"), "UncertainConfigurationError", "{told:#}");

    // The profile of another make.
    let (shown, _) = site.read("eastron/sdm630", implausible);
    assert_eq!(shown.code, EXIT_IMPLAUSIBLE, "{shown:?}");

    // And right.
    site.write_profile(right);
    let (shown, told) = site.read("acme/one", |status| {
        quality(status, "e_import") == "Good" && code(status).is_empty()
    });
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert_eq!(told["point_counts"]["good"], 9, "{told:#}");

    let samples = query::samples(&site.centre.lake()).unwrap();
    let of_energy = |sample: &&query::Sample| sample.point.ends_with("/e_import");
    let energy: Vec<&query::Sample> = samples.iter().filter(of_energy).collect();
    let good: Vec<f64> = energy
        .iter()
        .filter(|sample| sample.quality == "Good")
        .map(|sample| sample.value.parse().unwrap())
        .collect();
    assert!(good.len() > 5 && energy.len() > good.len() + 20, "{} of {}", good.len(), energy.len());
    let (from, to) = (183_482.1, 183_482.1 + 1_000.0);
    assert!(good.iter().all(|value| (from..to).contains(value)), "{good:?}");
    // What was read wrongly is there, with its value: nothing is lost.
    let doubted = energy.iter().filter(|sample| sample.quality.starts_with("Uncertain"));
    assert!(doubted.filter(|sample| !sample.value.is_empty()).count() > 20);

    let plant = one_meter::write_plant(site.path()).unwrap();
    let year =
        jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::get("Asia/Seoul").unwrap()).year();
    let lake = site.centre.lake();
    let energy = one_meter::figures(&plant, &lake).electricity(&year.to_string()).unwrap();
    let counted: f64 = energy.energy.unwrap_or_default().parse().unwrap_or_default();
    assert!(counted < 100.0 && energy.unit.as_deref() == Some("kWh"), "{counted}");
}

/// `check --online` reads the meter as `run` would, tries the other area too, and has an exit code for each cause.
#[test]
fn a_check_online_names_what_is_wrong_with_a_meter() {
    let folder = tempfile::tempdir().unwrap();
    let served = one_meter::subfolder(folder.path(), "meter").unwrap();
    let meter = meter();
    // Its values stand in the holding registers, and the input registers are all 0.
    let values = &meter["units"][0]["input"];
    let zeros = json!([{ "address": 0, "words": vec![0; 130] }]);
    let swapped = json!({ "units": [{ "unit_id": 1, "holding": values, "input": zeros }] });
    let mut server = ModbusServer::tcp(&served, &swapped).unwrap();
    let settings = |profile: &str| {
        format!(
            "{}\n[[port]]\nid = \"line\"\nprotocol = \"modbus\"\naddress = \"tcp://127.0.0.1:{}\"\n\
             [[device]]\nid = \"meter\"\nport = \"line\"\nprofile = \"{profile}\"\nunit = 1\n",
            gateway::head("url = \"mqtt://127.0.0.1:1\""),
            server.tcp_port().unwrap(),
        )
    };
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, settings("acme/one")).unwrap();
    let check = |options: &str, more: &[&str]| {
        Gateway::write_profile(folder.path(), "acme/one", &profile(options)).unwrap();
        let arguments = ["check", "--online", "--wait", "5s", "-c", file.to_str().unwrap()];
        run("nengliu-gateway", arguments.into_iter().chain(more.iter().copied())).unwrap()
    };
    let right = check("area = \"holding\"\norder32 = \"CDAB\"", &[]);
    assert_eq!((right.code, right.errors.as_str()), (Some(0), ""), "{right:?}");
    assert!(right.output.contains("9 of 9 points Good"), "{}", right.output);
    assert!(right.output.contains("231.897 V      Good"), "{}", right.output);
    let wrong = check("area = \"holding\"\norder32 = \"BADC\"", &[]);
    assert_eq!(wrong.code, EXIT_IMPLAUSIBLE, "{wrong:?}");
    assert!(wrong.output.contains("set `order32 = \"CDAB\"`"), "{}", wrong.output);
    let zeros = check("area = \"input\"\norder32 = \"CDAB\"", &[]);
    assert_eq!(zeros.code, Some(7), "{zeros:?}");
    let sentence = "would be plausible read from the other area (231.897 V: swap `area";
    assert!(zeros.output.contains(sentence), "{}", zeros.output);
    let json = check("area = \"holding\"\norder32 = \"CDAB\"", &["--json"]);
    let json: Value = serde_json::from_str(&json.output).unwrap();
    assert_eq!((&json["ok"], &json["schema"]), (&true.into(), &"nengliu.check.v1".into()));
    assert_eq!(json["online"]["devices"]["meter"]["points"]["good"], 9, "{json:#}");
    assert_eq!(json["online"]["points"].as_array().map(Vec::len), Some(9));
    server.kill().unwrap();
    let away = check("area = \"holding\"", &[]);
    assert_eq!(away.code, Some(7), "{away:?}");
    assert!(away.output.contains("GW-M104"), "{}", away.output);
    assert!(!folder.path().join("spool").exists(), "nothing is kept");
}

/// O14: closing the ssh window killed gateway and centre.
#[test]
fn a_closed_terminal_ends_neither_gateway_nor_centre() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    let mut site = Site::start();
    site.write_profile("area = \"input\"\norder32 = \"CDAB\"");
    let settings = site.settings("acme/one");
    let mut gateway = Gateway::start(site.path(), &settings).unwrap();
    let hang_up =
        |id: u32| kill(Pid::from_raw(i32::try_from(id).unwrap()), Signal::SIGHUP).unwrap();
    hang_up(gateway.id());
    hang_up(site.centre.id());
    let said = "SIGHUP is ignored: settings are read at the start only. To apply a change,";
    tests::wait::wait_until("a line about SIGHUP in both logs", SOON, || {
        Ok(gateway.log()?.contains(said) && site.centre.log()?.contains(said))
    })
    .unwrap();
    gateway.wait_for_held(SOON).unwrap();
    assert!(gateway.terminate().unwrap().success());
    assert!(site.centre.terminate().unwrap().success());
}

/// O14: it took one round for `gateway.toml`, one for the profile and one for its head. O10: numbers of a manual passed.
#[test]
fn a_check_lists_the_problems_of_all_files_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let headless = profile("area = \"input\"")
        .replace("maker = \"Acme\"\n", "")
        .replace("register = 4", "register = 70000");
    Gateway::write_profile(folder.path(), "acme/one", &headless).unwrap();
    let of_manual = profile("area = \"input\"").replace("register = ", "register = 300");
    Gateway::write_profile(
        folder.path(),
        "acme/two",
        &of_manual.replace("register = 3000\n", "register = 30001\n"),
    )
    .unwrap();
    let text = format!(
        "{}\n[[port]]\nid = \"line\"\nprotocol = \"modbus\"\npath = \"/dev/ttyS7\"\nbaud = 9601\n\
         [[device]]\nid = \"a\"\nport = \"lime\"\nprofile = \"acme/one\"\nunit = 1\n\
         [[device]]\nid = \"b\"\nport = \"line\"\nprofile = \"acme/two\"\nunit = 2\nfoo = 1\n",
        gateway::head("url = \"mqtt://127.0.0.1:1\"")
    );
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, text).unwrap();
    let ran = run("nengliu-gateway", ["check", "-c", file.to_str().unwrap()]).unwrap();
    assert_eq!(ran.code, Some(3), "{ran:?}");
    for expected in [
        "names port `lime`",
        "`maker` is missing",
        "registers 70000 to 70001 do not exist",
        "`device[2].foo` is not a key",
        "9601 is no usual rate: did you mean 9600?",
        "looks like the number of a manual, whose first digit 3 is the area",
    ] {
        assert!(ran.errors.contains(expected), "{expected}: {}", ran.errors);
    }
    assert_eq!(ran.errors.matches("looks like the number").count(), 1, "{}", ran.errors);
    assert!(
        ran.errors.trim_end().ends_with("gateway.toml`: 4 errors, 2 warnings"),
        "{}",
        ran.errors
    );
    let away = folder.path().join("away.toml");
    for command in ["status", "run", "check"] {
        let ran = run("nengliu-gateway", [command, "-c", away.to_str().unwrap()]).unwrap();
        assert!(ran.errors.contains("away.toml"), "{command}: {}", ran.errors);
    }
}
