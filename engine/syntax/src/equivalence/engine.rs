//! The engine's parser: whether it accepts a text as strict code. Nothing of a text runs.

use rquickjs::context::EvalOptions;
use rquickjs::{Context, Module, Runtime, Value};

use crate::Goal;

/// Texts after which the engine is made anew: it keeps the modules it accepted.
const TEXTS_MAX: u32 = 20_000;

pub struct Engine {
    context: Context,
    texts: u32,
    said: String,
}

impl Engine {
    pub fn new() -> Engine {
        let runtime = Runtime::new().expect("a runtime");
        // A text that leaves the function around it would run.
        runtime.set_interrupt_handler(Some(Box::new(|| true)));
        Engine {
            context: Context::full(&runtime).expect("a context"),
            texts: 0,
            said: String::new(),
        }
    }

    /// The last text's error.
    pub fn said(&self) -> &str {
        &self.said
    }

    /// A script comes as a function's expression, which is compiled and never called.
    pub fn accepts(&mut self, text: &str, goal: Goal) -> bool {
        self.texts += 1;
        if self.texts == TEXTS_MAX {
            *self = Engine::new();
        }
        self.context.with(|context| {
            let failed = match goal {
                Goal::Module => Module::declare(context.clone(), "m", text).is_err(),
                Goal::Script => {
                    let mut options = EvalOptions::default();
                    options.strict = true;
                    context
                        .eval_with_options::<Value, _>(text, options)
                        .is_err()
                }
            };
            self.said.clear();
            if failed {
                // What stands before the function runs, and may fail.
                let error = context.catch();
                let name = error
                    .as_object()
                    .and_then(|error| error.get::<_, String>("name").ok());
                if name.as_deref() == Some("SyntaxError") {
                    self.said = format!("{error:?}");
                    return false;
                }
            }
            true
        })
    }
}
