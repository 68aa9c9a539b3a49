use weir_state::{ListState, ValueState};
use weir_types::EventTime;

use super::*;
use crate::harness::{Event, HarnessOptions, TwoInputHarness};

type Order = (u32, String);
type Payment = (u32, u64);

/// Joins each payment with its order, whichever comes first, and complains of orders that nobody
/// paid within 100 ms.
#[derive(Clone, Default)]
struct Join {
    order: Option<ValueState<String>>,
    payments: Option<ListState<u64>>,
}

impl KeyedCoProcessFunction<u32, Order, Payment, String> for Join {
    fn open(&mut self, context: &mut OpenContext<'_, u32>) -> Result<(), BoxError> {
        self.order = Some(context.value_state("order")?);
        self.payments = Some(context.list_state("payments")?);
        Ok(())
    }

    fn process_first(
        &mut self,
        order: Order,
        context: &mut Context<'_, u32>,
        out: &mut Collector<'_, String>,
    ) -> Result<(), BoxError> {
        let payments = self.payments.expect("opened");
        let paid: Vec<u64> = payments.get(context)?.copied().collect();
        for payment in &paid {
            out.collect(format!("{} {payment}", order.1));
        }
        if paid.is_empty() {
            self.order.expect("opened").set(context, order.1)?;
            let due = context.timestamp().map_or(0, |time| time.0 + 100);
            context.register_event_time_timer(EventTime(due))?;
        } else {
            payments.clear(context)?;
        }
        Ok(())
    }

    fn process_second(
        &mut self,
        payment: Payment,
        context: &mut Context<'_, u32>,
        out: &mut Collector<'_, String>,
    ) -> Result<(), BoxError> {
        match self.order.expect("opened").take(context)? {
            Some(order) => out.collect(format!("{order} {}", payment.1)),
            None => self.payments.expect("opened").add(context, payment.1)?,
        }
        Ok(())
    }

    fn on_timer(
        &mut self,
        _timestamp: i64,
        _domain: TimeDomain,
        context: &mut Context<'_, u32>,
        out: &mut Collector<'_, String>,
    ) -> Result<(), BoxError> {
        if let Some(order) = self.order.expect("opened").take(context)? {
            out.collect(format!("{order} unpaid"));
        }
        Ok(())
    }
}

type Harness = TwoInputHarness<Order, Payment, String>;

fn operator() -> impl Operator {
    KeyedCoProcessOperator::new(
        |order: &Order| order.0,
        |payment: &Payment| payment.0,
        Join::default(),
    )
}

fn order(id: u32, what: &str) -> Order {
    (id, what.to_owned())
}

#[test]
fn both_inputs_see_the_state_of_the_same_key() {
    let mut harness = Harness::open(operator()).unwrap();
    harness.push_second((1, 10), Some(5)).unwrap();
    harness.push_first(order(2, "tea"), Some(6)).unwrap();
    harness.push_first(order(1, "ink"), Some(7)).unwrap();
    harness.push_second((2, 20), Some(8)).unwrap();
    assert_eq!(
        harness.take_events(),
        [
            Event::Record("ink 10".to_owned(), Some(7)),
            Event::Record("tea 20".to_owned(), Some(8)),
        ]
    );
}

#[test]
fn timers_wait_for_the_slower_input() {
    let mut harness = Harness::open(operator()).unwrap();
    harness.push_first(order(1, "ink"), Some(0)).unwrap();
    harness.watermark(0, 500).unwrap();
    assert_eq!(harness.take_events(), []);
    harness.watermark(1, 100).unwrap();
    assert_eq!(
        harness.take_events(),
        [
            Event::Record("ink unpaid".to_owned(), Some(100)),
            Event::Watermark(100)
        ]
    );
    harness.activity(1, false).unwrap();
    assert_eq!(harness.take_events(), [Event::Watermark(500)]);
    harness.end_input(0).unwrap();
    assert_eq!(
        harness.take_events(),
        [Event::Idle],
        "the other may still have something to say"
    );
    harness.end_input(1).unwrap();
    assert_eq!(
        harness.take_events(),
        [Event::Active, Event::Watermark(i64::MAX)]
    );
}

#[test]
fn state_and_timers_of_both_inputs_come_back_after_a_restore() {
    let mut before = Harness::open(operator()).unwrap();
    before.push_first(order(1, "ink"), Some(0)).unwrap();
    before.push_second((2, 20), Some(0)).unwrap();
    let snapshot = before.snapshot().unwrap();
    let options = HarnessOptions::default();
    let mut after = Harness::restore(Box::new(operator()), options, vec![snapshot]).unwrap();
    after.push_first(order(2, "tea"), Some(1)).unwrap();
    after.watermark(0, 200).unwrap();
    after.watermark(1, 200).unwrap();
    assert_eq!(after.take_records(), ["tea 20", "ink unpaid"]);
}
