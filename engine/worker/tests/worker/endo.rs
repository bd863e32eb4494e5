//! Endo's packages inside a vat, bundled as their users bundle them: far, pass-style, marshal,
//! patterns, exo and captp load, and take the vat's own `Far` and `E` for what they are.
//!
//! Nothing of theirs is here: npm fetches them and a bundler into a temporary folder. By hand, with
//! `cargo test -p kenvat-worker --test worker -- endo --ignored --nocapture`.

use std::fs;
use std::path::Path;
use std::process::Command;

use kenvat_testing::worker::{TestVat, undefined};

const PACKAGES: [&str; 7] = [
    "@endo/far@1.1.14",
    "@endo/pass-style@1.8.2",
    "@endo/marshal@1.10.0",
    "@endo/patterns@1.9.1",
    "@endo/exo@1.7.0",
    "@endo/captp@4.5.1",
    "esbuild@0.28.2",
];

const PROGRAM: &str = r#"
import { Far, E as TheirE, passStyleOf } from '@endo/far';
import { makeMarshal } from '@endo/marshal';
import { M, mustMatch } from '@endo/patterns';
import { makeExo, defineExoClass } from '@endo/exo';
import { makeLoopback } from '@endo/captp';
const message = (work) => {
  try { work(); return 'fine'; } catch (error) { return error.message; }
};
export default () => ({
  async run() {
    const ours = globalThis.Far('ours', { hi: () => 'hi' });
    const theirs = Far('theirs', { hi: () => 'yo' });
    const out = [ours, globalThis.Far('f', () => 1), theirs, harden([1]), harden({ a: 1 })]
      .map(passStyleOf);
    out.push(await E(theirs).hi(), await TheirE(ours).hi(), await E(theirs).hi());
    const m = makeMarshal((it) => it.hi(), () => ours, { serializeBodyFormat: 'smallcaps' });
    const data = m.toCapData(harden({ a: [1n, ours, undefined], e: TypeError('x') }));
    const back = m.fromCapData(data);
    out.push(back.a[0] === 1n, back.a[1] === ours, data.slots, back.e.name, back.e.message);
    out.push(message(() => mustMatch(harden({ x: 1 }), M.splitRecord({ x: M.number() }))));
    out.push(message(() => mustMatch(harden({ x: 'a' }), harden({ x: M.number() }))));
    const I = M.interface('Foo', { foo: M.call(M.string()).returns(M.string()) });
    const exo = makeExo('foo', I, { foo: (x) => `${x}!` });
    out.push(await E(exo).foo('a'), await E(exo).foo(1).catch((e) => e.constructor.name));
    const make = defineExoClass('Counter', undefined, (n) => ({ n }), {
      up() { this.state.n += 1; return this.state.n; },
    });
    out.push(make(4).up());
    const { makeFar } = makeLoopback('alice');
    out.push(await E(await makeFar(globalThis.Far('remote', { twice: (x) => x * 2 }))).twice(21));
    return out;
  },
});
"#;

const SAID: &str = concat!(
    r#"["remotable","remotable","remotable","copyArray","copyRecord","yo","hi","yo",true,true,"#,
    r#"["hi"],"TypeError","x","fine","x: string (a string) - Must be a number","a!","Error",5,42]"#
);

/// Runs npm in a folder; false where it cannot.
fn npm(folder: &Path, arguments: &[&str]) -> bool {
    let ran = Command::new("npm")
        .current_dir(folder)
        .args(arguments)
        .output();
    ran.is_ok_and(|output| output.status.success())
}

#[test]
#[ignore = "fetches packages with npm"]
fn endo_s_packages_load_when_they_are_bundled() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    fs::write(folder.join("package.json"), r#"{"type":"module"}"#).expect("write");
    fs::write(folder.join("in.js"), PROGRAM).expect("write");
    let install = [&["install", "--no-audit", "--no-fund"], &PACKAGES[..]].concat();
    if !npm(folder, &install) {
        eprintln!("skipped: npm is not at hand, or has not these packages");
        return;
    }
    let bundle = [
        "exec",
        "--",
        "esbuild",
        "--bundle",
        "--format=esm",
        "in.js",
        "--outfile=out.js",
    ];
    assert!(npm(folder, &bundle), "the packages are bundled");
    let source = fs::read_to_string(folder.join("out.js")).expect("the bundle");
    let mut vat = TestVat::new();
    assert_eq!(vat.deploy(&[("main.js", &source)], &[]), undefined());
    assert_eq!(vat.value("run", "[]"), SAID);
}
