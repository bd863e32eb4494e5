//! Q, Flow and Vow: names over eventual send, within one vat.

use kenvat_testing::worker::{TestVat, undefined};

/// What `run` answers; timers fire as they fall due. `trace` collects what `say` is given.
fn trace(body: &str) -> String {
    let source = format!(
        "export default ({{ timer }}) => ({{ async run() {{ const trace = []; const say = (x) => \
         trace.push(x);\n{body}\nreturn trace; }} }});"
    );
    let mut vat = TestVat::new();
    assert_eq!(vat.deploy(&[("main.js", &source)], &[]), undefined());
    let request = vat.send("run", "[]");
    while !vat.replies.contains_key(&request) && vat.fire_next() {}
    let unhandled: Vec<_> = vat.log.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(unhandled, Vec::<&str>::new());
    match vat.replies.remove(&request) {
        Some(kenvat_wire::protocol::Outcome::Value(json)) => json,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_q_gives_is_one_kind_of_frozen_promise() {
    assert_eq!(
        trace(
            "const x = { m: (a) => a + 1, p: 7 };
             const q = Q(x);
             const proto = Object.getPrototypeOf(q);
             for (const p of [Q.defer().promise, Q.reject(1), Q.all([]), Q.race(1), Q.join(1, 1),
               Q.delay(1), Q.promise((r) => r(1)), Q.get(x, 'p'), Q.post(x, 'm', [1]),
               Q.send(x, 'm', 1), Q.when(1), Q.async(function* () {})(), Q.memoize(x.m)(1),
               Q.spread([1], (a) => a), Q.allSettled([]), Q.any(1), Q.timeout(1, 5),
               Q.fcall(x.m, 1),
               Q.invoke(x, 'm', 1), Q.fulfill(1), q.when(), q.then(), q.catch(),
               q.finally(() => {}),
               q.get('p'), q.post('m', [1]), q.send('m', 1), q.invoke('m', 1), q.delay(1),
               q.timeout(9), q.join(x), Q([1]).all(), Q([1]).spread((a) => a)]) {
               const right = Object.getPrototypeOf(p) === proto && p instanceof Promise &&
                 Object.isFrozen(p) && Promise.resolve(p) === p && Q(p) === p && Q.isPromise(p);
               if (!right) say('wrong');
               p.catch(() => {});
             }
             say(Object.isFrozen(proto)); say(Object.isFrozen(Q));
             say((await q) === x); say(await E(q).m(1)); say(await q.get('p'));
             say(await q.send('m', 4)); say(await Q.post((a) => a * 2, undefined, [4]));"
        ),
        "[true,true,true,2,7,5,8]"
    );
}

#[test]
fn q_combines_promises() {
    assert_eq!(
        trace(
            "const d = Q.defer(); const { resolve } = d;
             const no = () => Q.reject(new Error('no'));
             const tell = (p) => p.then((v) => { say(v); }, (e) => { say(e.message); });
             await tell(Q.all([1, Q(2), Promise.resolve(3)]));
             await tell(Q.all(1, Q(2)));
             await tell(Q.all([1, no(), 2]));
             await tell(Q.race([new Promise(() => {}), Q(5)]));
             await tell(Q.race(d.promise, 6));
             const o = {};
             await tell(Q.join(Q(o), o).then((x) => x === o));
             await tell(Q.join({}, {}));
             await tell(Q.join(NaN, NaN).then((x) => `${x}`));
             await tell(Q.any([no(), Q(8)]));
             await tell(Q.any([no()]));
             await tell(Q.allSettled([1, Q.reject(2)]));
             await tell(Q.spread([Q(1), 2], (a, b) => a + b));
             await tell(Q.when(Q(1), (v) => v + 1));
             await tell(Q(3).finally(() => say('finally')));
             resolve(Q(9)); await tell(d.promise);
             say(Q.isFulfilled(d.promise)); say(Q.inspect(d.promise).value);
             say(Q.isPending(Q.defer().promise)); say(Q.isFulfilled(1));
             await tell(Q.async(function* () {
               const a = yield Q(1); try { yield no(); } catch (e) { return a + e.message; }
             })());
             let calls = 0; const once = Q.memoize((n) => { calls += 1; return n; });
             await tell(once(o).then(() => once(o)).then(() => once(1)).then(() => calls));
             Q.nextTick(() => say('tick')); say('before'); await Q.delay(1);"
        ),
        concat!(
            r#"[[1,2,3],[1,2],"no",5,6,true,"not the same","NaN",8,"#,
            r#""no promise of Q.any was fulfilled","#,
            r#"[{"state":"fulfilled","value":1},{"state":"rejected","reason":2}],3,2,"#,
            r#""finally",3,9,true,9,true,true,"1no",2,"before","tick"]"#
        )
    );
}

#[test]
fn q_waits_in_both_orders_of_arguments_and_gives_up_in_time() {
    assert_eq!(
        trace(
            "say(await Q.delay(1000, 'later')); say(await Q.delay('value', 5));
             say(await Q('p').delay(7));
             say(await Q.timeout(Q('in time'), 100));
             await Q.timeout(new Promise(() => {}), 10).catch((e) => say(e.message));
             await Q.race([new Promise(() => {}), Q.delay(5000, Q.reject(new Error('timeout')))])
               .catch((e) => say(e.message));"
        ),
        r#"["later","value","p","in time","Timed out after 10 ms","timeout"]"#
    );
}

#[test]
fn another_compartments_q_has_no_time() {
    assert_eq!(
        trace(
            "const c = new Compartment();
             say(c.evaluate('[typeof Q.delay, typeof Q.timeout, typeof Q(1).delay, typeof Q.all]'));
             say(await c.evaluate('Q(5)'));
             say(typeof Q.delay);"
        ),
        r#"[["undefined","undefined","undefined","function"],5,"function"]"#
    );
}

#[test]
fn a_flow_keeps_its_order_through_all_its_vows() {
    assert_eq!(
        trace(
            "const x = { m(n) { say(n); return x; } };
             const flow = new Flow(), other = new Flow();
             let open;
             const late = flow.makeVow((r) => { open = r; });
             const now = flow.makeVow((r) => r(x));
             late.e.m(1); now.e.m(2); const piped = now.e.m(3).e.m(4); now.e.m(5);
             other.makeVow((r) => r(x)).e.m('other');
             await Q.delay(1);
             open(x);
             await piped; await now.e.m(6);
             say(Object.isFrozen(late) && Object.isFrozen(Flow) && Object.isFrozen(Vow));
             say(late instanceof Vow);
             say(await Vow.resolve(5)); say(await Vow.all([Vow.resolve(1), 2]));
             say(await Vow.race([Vow.resolve(3)])); say((await Vow.join(x, now)) === x);
             say(await Vow.fromFn(() => 4));
             say(await Vow.resolve((a) => a + 1).e(1));
             await now.e.nothing().catch((e) => say(e.message));
             await now.e.m(7);"
        ),
        concat!(
            r#"["other",1,2,3,4,5,6,true,true,5,[1,2],3,true,4,2,"#,
            r#""the target has no method `nothing`; it has m",7]"#
        )
    );
}

#[test]
fn the_general_two_phase_commit_of_the_slides_runs() {
    assert_eq!(
        trace(
            "const participant = (decisionP, name, ok) => {
               Q(decisionP).when(function (_) { say(`${name} commits`); },
                 function (reason) { say(`${name} aborts: ${reason.message}`); });
               return ok ? Q(name) : Q.reject(new Error(`${name} cannot`));
             };
             const coordinate = (a, b, cancelP) => {
               var decision = Q.defer();
               decision.resolve(Q.race([Q.all([participant(decision.promise, 'A', a),
                 participant(decision.promise, 'B', b)]),
                 Q(cancelP).when(function (cancel) { throw cancel; })]));
               return decision.promise;
             };
             const never = new Promise(() => {});
             await coordinate(true, true, never).when(say);
             await coordinate(true, false, never).catch((e) => say(e.message));"
        ),
        concat!(
            r#"["A commits","B commits",["A","B"],"A aborts: B cannot","B aborts: B cannot","#,
            r#""B cannot"]"#
        )
    );
}

#[test]
fn an_heir_of_a_q_promise_is_not_waited_for() {
    assert_eq!(
        trace(
            "const heir = Object.create(Q(1));
             for (const wait of [async () => await heir, () => heir.then(), () => heir.when()]) {
               try { say(await wait()); } catch (e) { say(e.message); }
             }"
        ),
        r#"["then: this is no promise","then: this is no promise","then: this is no promise"]"#
    );
}
