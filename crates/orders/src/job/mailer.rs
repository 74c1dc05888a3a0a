//! Where mails go: over SMTP, or into a directory where there is no mail server.

use std::path::{Path, PathBuf};

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, MultiPart};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use uuid::Uuid;

use crate::ServiceError;
use crate::job::Email;
use crate::job::file::{file_of, write_whole};

/// Sends mails.
pub trait Mailer: Send + Sync + 'static {
    /// Sends a mail. Its Message-ID derives from `job_id`, so that a mail that was sent twice, because nobody knew of the
    /// first time, can be told to be one.
    ///
    /// # Errors
    /// [`ServiceError`]; it may have been sent all the same.
    fn send(
        &self,
        job_id: &str,
        mail: &Email,
    ) -> impl Future<Output = Result<(), ServiceError>> + Send;
}

/// Writes each mail to a file `<job id>.eml`: writing it again leaves one.
#[derive(Clone, Debug)]
pub struct MailDirectory {
    directory: PathBuf,
    from: Mailbox,
}

/// Hands mails to a mail server.
#[derive(Clone, Debug)]
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// One or the other, as the environment says.
#[derive(Clone, Debug)]
pub enum ConfiguredMailer {
    /// Files.
    Directory(MailDirectory),
    /// SMTP.
    Smtp(Smtp),
}

/// A mail server or a sender that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MailerError {
    /// The sender is no address.
    #[error("{0:?} is no sender's address; write shop@example.org or Shop <shop@example.org>")]
    Sender(String),
    /// The URL names no mail server.
    #[error(
        "the URL of the mail server is not usable; write smtps://user:password@host or smtp://host:port"
    )]
    Url(#[source] lettre::transport::smtp::Error),
}

impl MailDirectory {
    /// # Errors
    /// [`MailerError::Sender`].
    pub fn new(directory: impl Into<PathBuf>, from: &str) -> Result<Self, MailerError> {
        Ok(Self {
            directory: directory.into(),
            from: sender(from)?,
        })
    }

    /// The file of a job's mail.
    pub fn file(&self, job_id: &str) -> PathBuf {
        file_of(&self.directory, job_id, "eml")
    }

    /// Where the files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Smtp {
    /// `url` is as in `smtps://user:password@host` or, without TLS, `smtp://host:port`.
    ///
    /// # Errors
    /// [`MailerError`].
    pub fn new(url: &str, from: &str) -> Result<Self, MailerError> {
        let transport =
            AsyncSmtpTransport::<Tokio1Executor>::from_url(url).map_err(MailerError::Url)?;
        Ok(Self {
            transport: transport.build(),
            from: sender(from)?,
        })
    }
}

impl Mailer for MailDirectory {
    async fn send(&self, job_id: &str, mail: &Email) -> Result<(), ServiceError> {
        let message = message(&self.from, job_id, mail)?;
        let written = write_whole(&self.file(job_id), &message.formatted()).await;
        written.map_err(|error| ServiceError::Unavailable {
            service: MAIL,
            source: error.into(),
        })
    }
}

impl Mailer for Smtp {
    async fn send(&self, job_id: &str, mail: &Email) -> Result<(), ServiceError> {
        let message = message(&self.from, job_id, mail)?;
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_permanent() => Err(rejected(error)),
            Err(error) => Err(ServiceError::Unavailable {
                service: MAIL,
                source: error.into(),
            }),
        }
    }
}

impl Mailer for ConfiguredMailer {
    async fn send(&self, job_id: &str, mail: &Email) -> Result<(), ServiceError> {
        match self {
            Self::Directory(directory) => directory.send(job_id, mail).await,
            Self::Smtp(smtp) => smtp.send(job_id, mail).await,
        }
    }
}

const MAIL: &str = "the mail server";

/// What is no address now is none the next time.
fn message(from: &Mailbox, job_id: &str, mail: &Email) -> Result<Message, ServiceError> {
    let to: Mailbox = mail.to.parse().map_err(rejected)?;
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, job_id.as_bytes());
    let builder = Message::builder()
        .from(from.clone())
        .to(to)
        .subject(mail.subject.clone())
        .message_id(Some(format!("<{id}@longshore>")));
    let text = mail.text.clone();
    let message = match &mail.html {
        Some(html) => builder.multipart(MultiPart::alternative_plain_html(text, html.clone())),
        None => builder.header(ContentType::TEXT_PLAIN).body(text),
    };
    message.map_err(rejected)
}

fn rejected(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ServiceError {
    ServiceError::Rejected {
        service: MAIL,
        source: error.into(),
    }
}

fn sender(from: &str) -> Result<Mailbox, MailerError> {
    from.parse()
        .map_err(|_| MailerError::Sender(from.to_owned()))
}
