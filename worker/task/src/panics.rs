//! A panic in a user's function fails its subtask, with the message and the place; the process
//! lives.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

thread_local! {
    /// Set on threads of subtasks: what the last panic said, and where.
    static LAST: RefCell<Option<Option<String>>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Runs `body`; a panic becomes an error text such as `panicked at src/main.rs:7:9: too large`.
pub(crate) fn catch<R>(body: impl FnOnce() -> R) -> Result<R, String> {
    install_hook();
    LAST.with(|last| *last.borrow_mut() = Some(None));
    let result = panic::catch_unwind(AssertUnwindSafe(body));
    let said = LAST.with(|last| last.borrow_mut().take()).flatten();
    result
        .map_err(|payload| said.unwrap_or_else(|| format!("panicked: {}", text(payload.as_ref()))))
}

/// On a subtask's thread a panic is remembered instead of printed: it is reported, with the
/// subtask's name, as the job's root cause. On all other threads nothing changes.
fn install_hook() {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            let ours = LAST.with(|last| match &mut *last.borrow_mut() {
                Some(said) => {
                    *said = Some(match info.location() {
                        Some(place) => format!("panicked at {place}: {}", text(info.payload())),
                        None => format!("panicked: {}", text(info.payload())),
                    });
                    true
                }
                None => false,
            });
            if !ours {
                before(info);
            }
        }));
    });
}

fn text(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a value that is no text".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_with_message_and_place() {
        let said = catch(|| panic!("{} is too large", 7)).expect_err("it panicked");
        assert!(
            said.contains("7 is too large") && said.contains("panics.rs:"),
            "{said}"
        );
        assert_eq!(catch(|| 3), Ok(3));
    }
}
