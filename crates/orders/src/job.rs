//! The jobs of the order system: what there is to do, by queue, who does it, and the worker around them.

mod email;
pub use email::{Email, EmailJobs};

mod mailer;
pub use mailer::{ConfiguredMailer, MailDirectory, Mailer, MailerError, Smtp};

mod payment;
pub use payment::{ChargeOrder, PaymentJobs};

mod report;
pub use report::{ReportJobs, SalesReport};

mod figures;
pub use figures::{DayFigures, OrderFigures, ReportTable};

mod file;

mod worker;
pub use worker::{JobsConfig, JobsHandler, JobsMessage, MIGRATIONS, jobs};
