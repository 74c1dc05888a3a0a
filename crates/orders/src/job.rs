//! The jobs of the order system: what there is to do, by queue.

mod email;
pub use email::Email;

mod payment;
pub use payment::ChargeOrder;

mod report;
pub use report::SalesReport;
