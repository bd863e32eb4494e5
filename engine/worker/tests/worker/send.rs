//! Eventual send within one vat: E, HandledPromise, promise kits, their order and their errors.
//!
//! Each program below is a vat; its method `run` answers with what it saw.

use kenvat_testing::worker::{TestVat, undefined};

/// What `run` of this program answers, as JSON; the vat is killed and resumed before if wished.
fn run(source: &str) -> String {
    let mut vat = vat(source);
    vat.value("run", "[]")
}

fn vat(source: &str) -> TestVat {
    let mut vat = TestVat::new();
    assert_eq!(vat.deploy(&[("main.js", source)], &[]), undefined());
    vat
}

/// Wraps the body of `run`: `trace` collects what happens, and is the answer.
fn trace(body: &str) -> String {
    let source = format!(
        "export default () => ({{ async run() {{ const trace = []; const say = (x) => \
         trace.push(x);\n{body}\nreturn trace; }} }});"
    );
    run(&source)
}

#[test]
fn a_send_answers_at_once_and_runs_in_a_later_job() {
    assert_eq!(
        trace(
            "const x = { m(a, b) { say(`ran with ${a} ${b} ${this === x}`); return a + b; } };
             const p = E(x).m(1, 2);
             say(p instanceof Promise);
             say('sent');
             say(await p);"
        ),
        r#"[true,"sent","ran with 1 2 true",3]"#
    );
}

#[test]
fn functions_properties_and_data_can_be_targets() {
    assert_eq!(
        trace(
            "say(await E((a) => a * 2)(21));
             say(await E.get({ p: 5 }).p);
             say(await E('text').toUpperCase());
             say(await E.get('text').length);
             say(await E(Promise.resolve({ m: () => 7 })).m());
             say(await E.get(Promise.resolve([1, 2])).length);
             say(E.sendOnly({ m: () => say('only') }).m() === undefined);
             await null;
             say(await E.when(5, (n) => n + 1));
             say(await E.when(Promise.reject(new Error('no')), undefined, (e) => e.message));
             const p = E.resolve(9);
             say(E.resolve(p) === p);
             const s = Symbol('s');
             say(await E({ [s]: () => 'symbol' })[s]());"
        ),
        r#"[42,5,"TEXT",4,7,2,true,"only",6,"no",true,"symbol"]"#
    );
}

#[test]
fn every_error_comes_through_the_promise() {
    let said = trace(
        "const tell = async (p) => {
           try { await p; say('no error'); } catch (e) { say(e.message); } };
         await tell(E({ m() { throw new Error('thrown'); } }).m());
         await tell(E({ a() {}, b() {}, c: 1 }).m());
         await tell(E(undefined).m());
         await tell(E(null)());
         await tell(E.get(undefined).p);
         await tell(E(5)());
         await tell(E({ get m() { throw new Error('getter'); } }).m());
         await tell(E(Promise.reject(new Error('broken'))).m());
         await tell(E(E(Promise.reject(new Error('contagion'))).m()).n());
         const { m } = E({ m() {} });
         await tell(m());
         await tell(E.get({})());
         const revoked = Proxy.revocable({}, {}); revoked.revoke();
         await tell(E(revoked.proxy).m());
         await tell(E(new Proxy({}, { get() { throw new Error('trap'); } })).m());",
    );
    assert_eq!(
        said,
        concat!(
            r#"["thrown","the target has no method `m`; it has a, b","#,
            r#""cannot call `m`: the target is undefined","#,
            r#""cannot call the target: it is null, no function","#,
            r#""cannot ask for property `p`: the target is undefined","#,
            r#""cannot call the target: it is number, no function","#,
            r#""getter","broken","contagion","#,
            r#""the method `m` of E(x) was called on something else","#,
            r#""E.get(x) has properties to ask for, no call","revoked proxy","trap"]"#
        )
    );
}

#[test]
fn sends_to_one_target_run_in_their_order() {
    assert_eq!(
        trace(
            "const x = { m: (n) => say(n) };
             for (let i = 0; i < 5; i += 1) E(x).m(i);
             let resolve;
             const p = new Promise((r) => { resolve = r; });
             E(p).m('a'); E(p).m('b');
             resolve(x);
             E(p).m('c');
             await E(p).m('d');"
        ),
        r#"[0,1,2,3,4,"a","b","c","d"]"#
    );
}

#[test]
fn sends_to_a_promise_of_ours_keep_their_order_however_it_resolves() {
    assert_eq!(
        trace(
            "const x = { m: (n) => say(n) };
             const outer = makePromiseKit(), inner = makePromiseKit();
             E(outer.promise).m(1);
             await null; await null;
             E(outer.promise).m(2);
             outer.resolve(inner.promise);
             E(outer.promise).m(3);
             await null;
             E(outer.promise).m(4);
             inner.resolve(x);
             E(outer.promise).m(5);
             await null;
             E(outer.promise).m(6);
             const later = makePromiseKit();
             E(E({ get: () => later.promise }).get()).m(7);
             E(outer.promise).m(8);
             later.resolve(x);
             await E(outer.promise).m(9);
             await null; await null; await null;"
        ),
        "[1,2,3,4,5,6,7,8,9]"
    );
}

#[test]
fn a_handler_gets_what_is_sent_while_its_promise_is_pending() {
    assert_eq!(
        trace(
            "let settle;
             const handler = {
               applyMethod(p, key, args, result) {
                 say(['method', key, args.length, p === hp, result instanceof Promise]);
                 return `answer ${key}`;
               },
               applyFunction(p, args) { say(['function', args[0]]); return 2; },
               get(p, key) { say(['get', key]); return 3; },
               applyMethodSendOnly(p, key) { say(['only', key]); },
             };
             const hp = new HandledPromise((...all) => { settle = all; }, handler);
             const a = E(hp).m(1, 2);
             say('sent');
             say(await a);
             say(await E(hp)(5));
             say(await E.get(hp).p);
             E.sendOnly(hp).n();
             await null; await null;
             const presence = settle[2]({ applyMethod: (o, key) => `presence ${key}` });
             say(await E(hp).k());
             say(await E(presence).l());
             say(await HandledPromise.applyMethod(presence, 'z', []));
             say((await hp) === presence);
             say(Reflect.ownKeys(presence).length);"
        ),
        concat!(
            r#"["sent",["method","m",2,true,true],"answer m",["function",5],2,["get","p"],3,"#,
            r#"["only","n"],"presence k","presence l","presence z",true,0]"#
        )
    );
}

#[test]
fn messages_pipeline_through_answers_and_forwards() {
    assert_eq!(
        trace(
            "const remote = (name) => new HandledPromise(() => {}, {
               applyMethod(p, key) { say(`${name}.${key}`); return remote(`${name}.${key}`); },
             });
             const r = remote('r');
             // Nothing of this ever settles: each message goes on to where the answer will be.
             E(E(E(r).a()).b()).c();
             const { promise, resolve } = makePromiseKit();
             E(E(promise).d()).e();
             resolve(r);
             E(E({ get: () => r }).get()).f();
             for (let i = 0; i < 20; i += 1) await null;"
        ),
        r#"["r.a","r.a.b","r.d","r.f","r.a.b.c","r.d.e"]"#
    );
}

#[test]
fn a_promise_resolved_with_itself_is_rejected() {
    assert_eq!(
        trace(
            "const a = makePromiseKit(), b = makePromiseKit();
             a.resolve(b.promise); b.resolve(a.promise);
             await b.promise.catch((e) => say(e.message));
             const c = makePromiseKit(); c.resolve(c.promise);
             await c.promise.catch((e) => say(e.message));"
        ),
        r#"["a promise cannot be resolved with itself","a promise cannot be resolved with itself"]"#
    );
}

#[test]
fn nothing_of_the_target_runs_inside_a_send() {
    assert!(
        trace(
            "const traps = new Proxy({}, { get: (t, name) => (...all) => { say(name); return
               Reflect[name](...all); } });
             const proxy = new Proxy(function () {}, traps);
             const thenable = { then(ok) { say('then'); ok({ m: () => 'through then' }); } };
             const getter = { get then() { say('getter'); return undefined; }, m: () => 'm' };
             const evil = Promise.resolve({ m: () => 'real' });
             Object.defineProperty(evil, 'then', { value() { say('own then'); } });
             Object.defineProperty(evil, 'constructor', { get() { say('constructor'); } });
             const sent = [E(proxy).m(), E(thenable).m(), E(getter).m(), E(evil).m(),
               E.resolve(thenable), E.resolve(getter), E.resolve(evil),
               HandledPromise.applyMethod(thenable, 'm', [])];
             say('sent');
             sent[0].catch(() => {});
             say(await sent[1]); say(await sent[2]); say(await sent[3]);
             say(trace.indexOf('sent') === 0);
             say(trace.includes('own then') || trace.includes('constructor'));"
        )
        .starts_with(r#"["sent","#)
    );
}

#[test]
fn what_e_gives_can_be_neither_changed_nor_looked_into() {
    assert_eq!(
        trace(
            "const e = E({ m: () => 1 });
             const tell = (f) => { try { f(); say('done'); } catch (x) { say(x.name); } };
             tell(() => { e.m = 1; });
             tell(() => Object.defineProperty(e, 'm', { value: 1 }));
             say(Object.isFrozen(e)); say(Reflect.ownKeys(e).length);
             say(Object.getPrototypeOf(e)); say(typeof e); say(e.then === undefined);
             say(Object.isFrozen(E)); say(Object.isFrozen(HandledPromise));
             const p = e.m();
             say(Object.isFrozen(p)); say(Reflect.ownKeys(p).length);
             tell(() => { p.then = 1; });
             say((await (async () => e)()) === e);"
        ),
        concat!(
            r#"["TypeError","TypeError",true,0,null,"function",true,true,true,true,0,"#,
            r#""TypeError",true]"#
        )
    );
}

#[test]
fn pending_sends_survive_the_process() {
    let mut vat = vat("export default () => {
           let kit = makePromiseKit();
           const seen = [];
           let asked;
           return {
             ask() { E(kit.promise).m(1); E(E(kit.promise).m(2)).toFixed(1).then((v) => {
               seen.push(v); }); asked = E(kit.promise); return 'asked'; },
             settle() { kit.resolve({ m: (n) => { seen.push(n); return n; } }); asked.m(3); },
             seen: () => seen,
           };
         };");
    assert_eq!(vat.value("ask", "[]"), "\"asked\"");
    vat.kill();
    vat.value("settle", "[]");
    vat.kill();
    assert_eq!(vat.value("seen", "[]"), r#"[1,2,3,"2.0"]"#);
}

#[test]
fn a_rejection_nobody_handles_is_logged_once_with_its_place() {
    let mut vat = vat("export default () => ({
  error() { E({ m() { throw new Error('lost'); } }).m(); },
  word() {
    Promise.reject('only a word');
  },
  only() { E.sendOnly({ m() { throw new Error('only'); } }).m(); },
  later() { const p = E({ m() { throw new Error('handled'); } }).m();
    E({ n() { p.catch(() => {}); } }).n(); },
});");
    for method in ["error", "word", "only", "later"] {
        vat.value(method, "[]");
    }
    let said: Vec<&str> = vat.log.iter().map(|line| line.text.as_str()).collect();
    let wanted = [
        ("unhandled rejection: Error: lost", "main.js:2:"),
        ("unhandled rejection: Error: only a word", "main.js:4:"),
        ("unhandled rejection: Error: only", "main.js:6:"),
    ];
    assert_eq!(said.len(), wanted.len(), "{said:?}");
    for (line, (what, place)) in said.iter().zip(wanted) {
        assert!(line.starts_with(what) && line.contains(place), "{line}");
    }
}

/// What a send costs. Prints; run by hand on a quiet machine, with `--ignored --nocapture`.
#[test]
#[ignore = "measures time"]
fn cost_of_a_local_send() {
    const SENDS: u32 = 1_000;
    let mut vat = vat(
        "export default () => { const x = Far('x', { m: () => 1 }); const { promise, resolve } =
           makePromiseKit(); resolve(x); const d = { a: 1, b: 2 }; let p; return {
           none(n) { for (let i = 0; i < n; i += 1) x.m(i); },
           plain(n) { for (let i = 0; i < n; i += 1) Promise.resolve(x).then((o) => o.m(i)); },
           sends(n) { for (let i = 0; i < n; i += 1) E(x).m(i); },
           only(n) { for (let i = 0; i < n; i += 1) E.sendOnly(x).m(i); },
           async turns(n) { for (let i = 0; i < n; i += 1) await E(x).m(i); },
           promised(n) { for (let i = 0; i < n; i += 1) E(promise).m(i); },
           chain(n) { p = x; for (let i = 0; i < n; i += 1) p = E(x).m(i); return p; },
           harden(n) { for (let i = 0; i < n; i += 1) harden({ a: 1, b: i, c: d }); },
         }; };",
    );
    let measured: Vec<(&str, u128)> = [
        "none", "plain", "sends", "only", "turns", "promised", "harden",
    ]
    .into_iter()
    .map(|method| {
        let mut times: Vec<u128> = (0..1_000)
            .map(|_| {
                let start = std::time::Instant::now();
                vat.value(method, &format!("[{SENDS}]"));
                start.elapsed().as_nanos() / u128::from(SENDS)
            })
            .collect();
        times.sort_unstable();
        (method, times[times.len() / 2])
    })
    .collect();
    println!("p50 of 10^6, nanoseconds each: {measured:?}");
}
