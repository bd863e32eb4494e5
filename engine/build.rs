//! Builds the worker executable and gives its bytes to the crate (E1).
//!
//! An inner cargo builds the package `kenvat-worker` beside this one: static, at a fixed address,
//! for an explicit target, with the C functions that read the machine replaced by ours
//! (`worker/src/c_symbols.rs`). It has a target folder of its own, one for all profiles of the
//! outer build, so test, debug and release builds embed the same bytes and compile it once.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// C functions whose callers are sent to `__wrap_NAME`: the clock, the time zone, the maker of
/// error messages, and what QuickJS's object files refer to of libm. All but scalbn, for which
/// glibc has a `__wrap_scalbn` of its own: that function is exact and has one variant.
const WRAPPED: [&str; 36] = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "ceil",
    "clock_gettime",
    "cos",
    "cosh",
    "exp",
    "expm1",
    "floor",
    "fmod",
    "frexp",
    "gettimeofday",
    "hypot",
    "localtime_r",
    "log",
    "log10",
    "log1p",
    "log2",
    "lrint",
    "modf",
    "pow",
    "rint",
    "round",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "trunc",
    "vsnprintf",
];

/// What the worker is made of, relative to this crate.
const SOURCES: [&str; 9] = [
    "build.rs",
    "syntax/Cargo.toml",
    "syntax/src",
    "wire/Cargo.toml",
    "wire/src",
    "worker/Cargo.toml",
    "worker/build.rs",
    "worker/js",
    "worker/src",
];

/// What stands before each of QuickJS's C files.
const HEADER: &str = "worker/src/one_nan.h";

/// Set for the inner build, so that a worker built any other way can say that it is none
/// (`worker/build.rs`).
const INNER: &str = "KENVAT_INNER_BUILD";

/// Variables of the outer build that the inner one must not see: they name its profile, its
/// features, its flags and its job server.
const OUTER_PREFIXES: [&str; 8] = [
    "CARGO_",
    "RUSTC",
    "RUSTFLAGS",
    "RUSTDOC",
    "DEP_",
    "TARGET",
    "CFLAGS",
    "MAKEFLAGS",
];
/// Other variables of a build script's environment.
const OUTER_NAMES: [&str; 9] = [
    "OUT_DIR",
    "PROFILE",
    "OPT_LEVEL",
    "DEBUG",
    "NUM_JOBS",
    "HOST",
    "LD_LIBRARY_PATH",
    "LIB",
    "SOURCE_DATE_EPOCH",
];
/// What stays although it begins like those: where cargo and rustup keep things, and how they reach
/// registries.
const KEPT_PREFIXES: [&str; 6] = [
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTR",
    "CARGO_SOURCE_",
    "RUSTUP_",
];

fn main() {
    for source in SOURCES {
        println!("cargo:rerun-if-changed={source}");
    }
    if let Err(error) = embed_worker() {
        // The build script's own stack would help nobody.
        eprintln!("\nthe worker executable could not be built: {error}\n");
        std::process::exit(1);
    }
}

fn embed_worker() -> Result<(), Box<dyn Error>> {
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let target = variable("TARGET")?;
    let workspace = package
        .parent()
        .ok_or("this crate has no folder above it")?;
    println!(
        "cargo:rerun-if-changed={}",
        workspace.join("Cargo.lock").display()
    );
    if !target.contains("linux") {
        return Err(format!("Kenvat runs on Linux only, and this build is for {target}").into());
    }
    let folder = inner_folder(&out, &target)?;
    build(&package, workspace, &folder, &target)?;
    let built = folder.join(&target).join("worker").join("kenvat-worker");
    // A copy, as the next inner build replaces the file while something may still read it.
    let copy = out.join("kenvat-worker");
    fs::copy(&built, &copy).map_err(|error| format!("copy {}: {error}", built.display()))?;
    // Its identity (E2), worked out once here and not at each start of a host.
    let hash = Sha256::digest(fs::read(&copy)?);
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    println!("cargo:rustc-env=KENVAT_WORKER_SHA256={hash}");
    println!("cargo:rustc-env=KENVAT_WORKER={}", copy.display());
    // For builds that differ in one thing (worker/tests/pin.rs: in the addresses).
    let flags = rust_flags(&places(workspace, &folder)).join("\x1f");
    println!("cargo:rustc-env=KENVAT_WORKER_FLAGS={flags}");
    let flags = c_flags(&package, &places(workspace, &folder))?.join(" ");
    println!("cargo:rustc-env=KENVAT_WORKER_C_FLAGS={flags}");
    Ok(())
}

/// `TARGET_DIR/worker`, from OUT_DIR, which is `TARGET_DIR/[TRIPLE/]PROFILE/build/NAME/out`.
fn inner_folder(out: &Path, target: &str) -> Result<PathBuf, Box<dyn Error>> {
    let above = out
        .ancestors()
        .nth(4)
        .ok_or("OUT_DIR is not where cargo puts it")?;
    let above = match above.file_name() {
        Some(name) if name == target => above.parent().unwrap_or(above),
        _ => above,
    };
    Ok(above.join("worker"))
}

fn build(
    package: &Path,
    workspace: &Path,
    folder: &Path,
    target: &str,
) -> Result<(), Box<dyn Error>> {
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .current_dir(package)
        .args(["build", "--locked", "--package", "kenvat-worker"])
        .args(["--bin", "kenvat-worker", "--profile", "worker"])
        .args(["--target", target])
        .arg("--target-dir")
        .arg(folder);
    if env::var_os("CARGO_NET_OFFLINE").is_some_and(|value| value == "true") {
        cargo.arg("--offline");
    }
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let outer = OUTER_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
            || OUTER_NAMES.contains(&&*text);
        let kept = KEPT_PREFIXES.iter().any(|prefix| text.starts_with(prefix));
        if outer && !kept {
            cargo.env_remove(&name);
        }
    }
    let places = places(workspace, folder);
    cargo.env(INNER, "1");
    cargo.env("CARGO_ENCODED_RUSTFLAGS", rust_flags(&places).join("\x1f"));
    cargo.env("CFLAGS", c_flags(package, &places)?.join(" "));
    // Clippy and such wrap the compiler of the outer build; the inner one is a plain build.
    cargo.env_remove("CLIPPY_ARGS");
    let output = cargo
        .output()
        .map_err(|error| format!("start cargo: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}\n\n{errors}", advice(&errors)).into())
}

/// Folders whose names must not get into the executable, and what stands there instead.
fn places(workspace: &Path, folder: &Path) -> Vec<(String, &'static str)> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let mut places = vec![
        (workspace.display().to_string(), "kenvat"),
        (folder.display().to_string(), "target"),
    ];
    places.extend(home.map(|home| (home.display().to_string(), "cargo")));
    places
}

fn rust_flags(places: &[(String, &str)]) -> Vec<String> {
    let mut flags: Vec<String> = [
        "-Ctarget-feature=+crt-static",
        "-Crelocation-model=static",
        "-Clink-arg=-no-pie",
    ]
    .map(str::to_owned)
    .to_vec();
    flags.extend(WRAPPED.map(|name| format!("-Clink-arg=-Wl,--wrap={name}")));
    flags.extend(
        places
            .iter()
            .map(|(from, to)| format!("--remap-path-prefix={from}={to}")),
    );
    // The linker's build id would be one more thing that could differ.
    flags.push("-Clink-arg=-Wl,--build-id=none".to_owned());
    flags
}

fn c_flags(package: &Path, places: &[(String, &str)]) -> Result<Vec<String>, Box<dyn Error>> {
    // A path with a space cannot be said in CFLAGS; such a build works and names its folder.
    let plain = places
        .iter()
        .filter(|(from, _)| !from.contains(char::is_whitespace));
    let mut flags: Vec<String> = plain
        .map(|(from, to)| format!("-ffile-prefix-map={from}={to}"))
        .collect();
    let header = package.join(HEADER);
    let header = header
        .to_str()
        .filter(|path| !path.contains(char::is_whitespace));
    let header = header.ok_or("the folder's name has a space, which C flags cannot say")?;
    // `-I.` finds QuickJS's own header, as the compiler runs in the crate that has it. The hash
    // has it compiled anew when ours has changed, which nothing else would show.
    let hash = Sha256::digest(fs::read(header)?);
    let hash: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    flags.extend(["-I.".to_owned(), format!("-include{header}")]);
    flags.push(format!("-DKENVAT_HEADER_{hash}"));
    Ok(flags)
}

/// What a person may do about the errors known to be about the machine.
fn advice(errors: &str) -> &'static str {
    if errors.contains("cannot find -lc") || errors.contains("cannot find -lm") {
        "the static C library is missing: install libc6-dev (Debian, Ubuntu), glibc-static (Fedora)"
    } else if errors.contains("linker `cc` not found") || errors.contains("failed to find tool") {
        "a C compiler is missing: install gcc"
    } else if errors.contains("can't find crate for `std`") {
        "Rust's library for this target is missing: rustup target add"
    } else if errors.contains("--locked was passed") {
        "Cargo.lock is not up to date with Cargo.toml"
    } else {
        "the inner build said:"
    }
}

fn variable(name: &str) -> Result<String, Box<dyn Error>> {
    env::var(name).map_err(|error| format!("{name}: {error}").into())
}
