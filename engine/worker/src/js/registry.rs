//! The values the worker must find again after a restart: one array in the heap, by slot.
//!
//! The header page names the array; the array holds one reference to each value. It cannot be
//! reached from JavaScript.

use std::ffi::c_void;
use std::mem::ManuallyDrop;

use rquickjs::qjs;

use super::value::{Cx, JsResult, Value};

/// What stands in which slot. New ones go at the end; a slot is never used for another thing, as
/// heaps outlive executables only through the executable they were born with.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Slot {
    /// The vat's root object; undefined until the program has started.
    Root = 0,
    /// The intrinsic `BigInt`, which C code cannot call otherwise.
    BigInt = 1,
    /// The library's formatter of values for people.
    Format = 2,
    /// `Symbol.toStringTag`.
    ToStringTag = 3,
    /// Intrinsic `Object.prototype`.
    ObjectPrototype = 4,
    /// Intrinsic `Function.prototype`.
    FunctionPrototype = 5,
    /// Names and functions of eventual send.
    Eventual = 6,
    /// The private property that remembers hardened objects, as its number.
    HardenMark = 7,
    /// A WeakSet of the hardened objects that cannot have that property.
    Hardened = 8,
    /// Intrinsic `WeakSet.prototype.has`.
    HardenedHas = 9,
    /// Intrinsic `WeakSet.prototype.add`.
    HardenedAdd = 10,
    /// The intrinsic `eval`, which no program gets.
    Eval = 11,
    /// The function that makes scopes to evaluate in.
    MakeScope = 12,
    /// What the scope of the start compartment's evaluations binds to names no program can write,
    /// in their order.
    Hidden = 13,
    /// The start compartment's global object.
    Globals = 14,
    /// The start compartment's scope.
    Scope = 15,
    /// The intrinsic getter of errors' stacks.
    ErrorStack = 16,
    /// Intrinsic `Date`.
    RealDate = 17,
    /// Intrinsic `Map`.
    RealMap = 18,
    /// Intrinsic `WeakMap`.
    RealWeakMap = 19,
    /// From a getter that stands for a primordial's property to the property's value.
    PlainValue = 20,
    /// The library's function that is told of due timers.
    TimerDue = 21,
    /// What programs get as `powers.timer`.
    Timer = 22,
    /// The function that makes scopes for modules.
    MakeModuleScope = 23,
    /// The library's function that loads a program's modules.
    LoadProgram = 24,
    /// The number of the first class of functions that compartments have their own of.
    OwnClass = 25,
    /// From a file that sends with `!` to the map of its columns.
    Columns = 26,
    /// What programs get as `powers.clock`.
    Clock = 27,
    /// What programs get as `powers.random`.
    Random = 28,
    /// The `Q` that gives no time.
    TimelessQ = 29,
    /// The same as `Columns` for other texts, from their numbers.
    TextColumns = 30,
    /// The library's function that checks a program.
    CheckProgram = 31,
    /// What the functions do that compartments have their own of, by their numbers.
    OwnFunctions = 32,
    /// The number of the class of modules' namespaces.
    NamespaceClass = 33,
}

/// How many slots there are.
pub const SLOTS: u32 = 34;

/// The array.
#[derive(Clone, Copy)]
pub struct Registry {
    cx: Cx,
    raw: qjs::JSValue,
}

impl Registry {
    /// Makes the array; the reference to it is kept by the header and never given back.
    pub fn create(cx: Cx) -> JsResult<Registry> {
        let slots = (0..SLOTS).map(|_| cx.undefined()).collect();
        let raw = cx.array(slots)?.into_raw();
        Ok(Registry { cx, raw })
    }

    /// The array at an address the header named.
    pub fn at(cx: Cx, address: *mut c_void) -> Registry {
        Registry {
            cx,
            raw: qjs::JS_MKPTR(qjs::JS_TAG_OBJECT, address),
        }
    }

    pub fn address(&self) -> usize {
        self.array().address()
    }

    pub fn get(&self, slot: Slot) -> JsResult<Value> {
        self.array().get_index(slot as u32)
    }

    pub fn set(&self, slot: Slot, value: Value) -> JsResult<()> {
        self.array().define_index(slot as u32, value)
    }

    /// Lent, not counted: the header's reference is never given back, and counting another would
    /// write the array's page in every turn.
    fn array(&self) -> ManuallyDrop<Value> {
        ManuallyDrop::new(self.cx.own(self.raw))
    }
}
