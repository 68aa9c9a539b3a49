//! Writes of the pointer, on their way to the store and back.

use weir_checkpoint::pointer::{Pointer, RunState, SwapResult};

use super::{Event, STORE_TIMEOUT, World, brief, to_jm};
use crate::message::ToJm;
use crate::plan::{CALM, Fate, random_fate};

impl World {
    /// A JobManager has a write of the pointer sent.
    pub(crate) fn swap(
        &mut self,
        (jm, life): (usize, u32),
        expected: Option<String>,
        content: Pointer,
    ) {
        let down = self.store.is_out_of_reach(jm, self.now);
        let fate = match self.next_fate.take() {
            Some(fate) => fate,
            None if down => Fate::Lost,
            None if self.now < CALM && self.rng.chance(self.plan.fates_per_mille) => {
                random_fate(&mut self.rng)
            }
            None => Fate::Fine,
        };
        self.note(|| format!("jm {jm} writes the pointer, {fate:?}: {}", brief(&content)));
        if matches!(content.run_state, RunState::Finished | RunState::Stopped(_)) {
            self.decided.insert(content.epoch);
        }
        let arrives = self.rng.between(1, 4);
        let mut swap = Event::Swap {
            expected,
            content: Box::new(content),
            tell: None,
        };
        let doubt = SwapResult::InDoubt("no answer".to_owned());
        match fate {
            Fate::Fine => {
                if let Event::Swap { tell, .. } = &mut swap {
                    *tell = Some((jm, life));
                }
                self.push(arrives, swap);
            }
            Fate::LostAnswer => {
                self.push(arrives, swap);
                self.push(STORE_TIMEOUT, to_jm(jm, life, ToJm::Swapped(doubt)));
            }
            Fate::Late(after) => {
                self.push(STORE_TIMEOUT + after, swap);
                self.push(STORE_TIMEOUT, to_jm(jm, life, ToJm::Swapped(doubt)));
            }
            Fate::Lost => self.push(STORE_TIMEOUT, to_jm(jm, life, ToJm::Swapped(doubt))),
            Fate::Refused => {
                let refused = SwapResult::Failed("denied".to_owned());
                self.push(arrives, to_jm(jm, life, ToJm::Swapped(refused)));
            }
        }
    }

    pub(super) fn swap_arrives(
        &mut self,
        expected: Option<String>,
        content: Pointer,
        tell: Option<(usize, u32)>,
    ) {
        let text = brief(&content);
        let before = self.store.register.as_ref();
        let before = before.and_then(|pointer| pointer.latest.as_ref().map(|latest| latest.id));
        let completes = content.latest.as_ref().map(|latest| latest.id) > before;
        let result = match self.store.swap(expected.as_deref(), content, self.now) {
            Ok(true) => {
                self.note(|| format!("the pointer is {text}"));
                self.completed += u32::from(completes);
                if let Err(text) = self.store.is_whole() {
                    self.violate(text);
                }
                let version = self.store.version();
                SwapResult::Written { version }
            }
            Ok(false) => SwapResult::Conflict,
            Err(text) => {
                self.violate(text);
                return;
            }
        };
        if let Some((jm, life)) = tell {
            let answer = self.rng.between(0, 3);
            self.push(answer, to_jm(jm, life, ToJm::Swapped(result)));
        }
    }
}
