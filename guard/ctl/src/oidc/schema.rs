//! Every key of Immich's configuration file, and the type of its value: Immich v3.2 (`@immich/sdk` 3.2.2, `AdminConfigDto`).
//!
//! `make test-immich-schema` compares the keys and words with the SDK, which has no ranges. Immich does not start with a value of another
//! type or outside of its range. Immich ignores a key that is not in this table, and [`check`](super::check) only warns about it.

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `true` or `false`, also as a text.
    Switch,
    /// `true` or `false`, not as a text.
    Bool,
    /// A text.
    Text,
    /// An absolute URL.
    Url,
    /// An absolute URL, or an empty text.
    UrlOrEmpty,
    /// A cron expression with five or six fields.
    Cron,
    /// A time, `HH:MM`.
    Time,
    /// A whole number in a range: minimum, maximum.
    Int(i64, i64),
    /// A whole number in a range, or `null` for none.
    IntOrNull(i64, i64),
    /// A whole number in a range, also as a text.
    Digits(i64, i64),
    /// A number in a range: minimum, maximum.
    Decimal(f64, f64),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of texts with at least one item.
    Texts,
    /// A list of these words.
    ManyOf(&'static [&'static str]),
    /// A list of these numbers.
    Heights(&'static [i64]),
}

use Kind::{Bool, Cron, Decimal, Digits, Heights, Int, IntOrNull, ManyOf, OneOf, Switch, Text, Texts, Time, Url, UrlOrEmpty};

/// The range has no limit in this direction.
const MAX: i64 = i64::MAX;
const MIN: i64 = i64::MIN;
const VIDEO: &[&str] = &["h264", "hevc", "vp9", "av1"];
const AUDIO: &[&str] = &["mp3", "aac", "opus", "pcm_s16le"];
const FORMAT: &[&str] = &["jpeg", "webp"];

/// All keys: the path and the type of the value.
pub const KEYS: &[(&str, Kind)] = &[
    ("backup.database.cronExpression", Cron),
    ("backup.database.enabled", Switch),
    ("backup.database.keepLastAmount", Int(1, MAX)),
    ("ffmpeg.accel", OneOf(&["nvenc", "qsv", "vaapi", "rkmpp", "disabled"])),
    ("ffmpeg.accelDecode", Switch),
    ("ffmpeg.acceptedAudioCodecs", ManyOf(AUDIO)),
    ("ffmpeg.acceptedContainers", ManyOf(&["mov", "mp4", "ogg", "webm"])),
    ("ffmpeg.acceptedVideoCodecs", ManyOf(VIDEO)),
    ("ffmpeg.bframes", Digits(-1, 16)),
    ("ffmpeg.cqMode", OneOf(&["auto", "cqp", "icq"])),
    ("ffmpeg.crf", Digits(0, 51)),
    ("ffmpeg.gopSize", Digits(0, MAX)),
    ("ffmpeg.maxBitrate", Text),
    ("ffmpeg.preferredHwDevice", Text),
    ("ffmpeg.preset", Text),
    ("ffmpeg.realtime.enabled", Switch),
    ("ffmpeg.realtime.resolutions", Heights(&[480, 720, 1080, 1440, 2160])),
    ("ffmpeg.realtime.videoCodecs", ManyOf(VIDEO)),
    ("ffmpeg.refs", Digits(0, 6)),
    ("ffmpeg.targetAudioCodec", OneOf(AUDIO)),
    ("ffmpeg.targetResolution", Text),
    ("ffmpeg.targetVideoCodec", OneOf(VIDEO)),
    ("ffmpeg.temporalAQ", Switch),
    ("ffmpeg.threads", Digits(0, MAX)),
    ("ffmpeg.tonemap", OneOf(&["hable", "mobius", "reinhard", "disabled"])),
    ("ffmpeg.transcode", OneOf(&["all", "optimal", "bitrate", "required", "disabled"])),
    ("ffmpeg.twoPass", Switch),
    ("image.colorspace", OneOf(&["srgb", "p3"])),
    ("image.extractEmbedded", Switch),
    ("image.fullsize.enabled", Switch),
    ("image.fullsize.format", OneOf(FORMAT)),
    ("image.fullsize.progressive", Switch),
    ("image.fullsize.quality", Int(1, 100)),
    ("image.preview.format", OneOf(FORMAT)),
    ("image.preview.progressive", Switch),
    ("image.preview.quality", Int(1, 100)),
    ("image.preview.size", Int(1, MAX)),
    ("image.thumbnail.format", OneOf(FORMAT)),
    ("image.thumbnail.progressive", Switch),
    ("image.thumbnail.quality", Int(1, 100)),
    ("image.thumbnail.size", Int(1, MAX)),
    ("integrityChecks.checksumFiles.cronExpression", Cron),
    ("integrityChecks.checksumFiles.enabled", Bool),
    ("integrityChecks.checksumFiles.percentageLimit", Decimal(0.0, 1.0)),
    ("integrityChecks.checksumFiles.timeLimit", Int(0, MAX)),
    ("integrityChecks.missingFiles.cronExpression", Cron),
    ("integrityChecks.missingFiles.enabled", Bool),
    ("integrityChecks.untrackedFiles.cronExpression", Cron),
    ("integrityChecks.untrackedFiles.enabled", Bool),
    ("job.backgroundTask.concurrency", Int(1, MAX)),
    ("job.editor.concurrency", Int(1, MAX)),
    ("job.faceDetection.concurrency", Int(1, MAX)),
    ("job.integrityCheck.concurrency", Int(1, MAX)),
    ("job.library.concurrency", Int(1, MAX)),
    ("job.metadataExtraction.concurrency", Int(1, MAX)),
    ("job.migration.concurrency", Int(1, MAX)),
    ("job.notifications.concurrency", Int(1, MAX)),
    ("job.ocr.concurrency", Int(1, MAX)),
    ("job.search.concurrency", Int(1, MAX)),
    ("job.sidecar.concurrency", Int(1, MAX)),
    ("job.smartSearch.concurrency", Int(1, MAX)),
    ("job.thumbnailGeneration.concurrency", Int(1, MAX)),
    ("job.videoConversion.concurrency", Int(1, MAX)),
    ("job.workflow.concurrency", Int(1, MAX)),
    ("library.scan.cronExpression", Cron),
    ("library.scan.enabled", Switch),
    ("library.watch.enabled", Switch),
    ("logging.enabled", Switch),
    ("logging.level", OneOf(&["verbose", "debug", "log", "warn", "error", "fatal"])),
    ("machineLearning.availabilityChecks.enabled", Switch),
    ("machineLearning.availabilityChecks.interval", Int(MIN, MAX)),
    ("machineLearning.availabilityChecks.timeout", Int(MIN, MAX)),
    ("machineLearning.clip.enabled", Bool),
    ("machineLearning.clip.modelName", Text),
    ("machineLearning.duplicateDetection.enabled", Bool),
    ("machineLearning.duplicateDetection.maxDistance", Decimal(0.001, 0.1)),
    ("machineLearning.enabled", Switch),
    ("machineLearning.facialRecognition.enabled", Bool),
    ("machineLearning.facialRecognition.maxDistance", Decimal(0.1, 2.0)),
    ("machineLearning.facialRecognition.minFaces", Int(1, MAX)),
    ("machineLearning.facialRecognition.minScore", Decimal(0.1, 1.0)),
    ("machineLearning.facialRecognition.modelName", Text),
    ("machineLearning.ocr.enabled", Bool),
    ("machineLearning.ocr.maxResolution", Int(1, MAX)),
    ("machineLearning.ocr.minDetectionScore", Decimal(0.1, 1.0)),
    ("machineLearning.ocr.minRecognitionScore", Decimal(0.1, 1.0)),
    ("machineLearning.ocr.modelName", Text),
    ("machineLearning.urls", Texts),
    ("map.darkStyle", Url),
    ("map.enabled", Switch),
    ("map.lightStyle", Url),
    ("metadata.faces.import", Switch),
    ("newVersionCheck.channel", OneOf(&["stable", "releaseCandidate"])),
    ("newVersionCheck.enabled", Switch),
    ("nightlyTasks.clusterNewFaces", Switch),
    ("nightlyTasks.databaseCleanup", Switch),
    ("nightlyTasks.generateMemories", Switch),
    ("nightlyTasks.missingThumbnails", Switch),
    ("nightlyTasks.startTime", Time),
    ("nightlyTasks.syncQuotaUsage", Switch),
    ("notifications.smtp.enabled", Switch),
    ("notifications.smtp.from", Text),
    ("notifications.smtp.replyTo", Text),
    ("notifications.smtp.transport.host", Text),
    ("notifications.smtp.transport.ignoreCert", Switch),
    ("notifications.smtp.transport.password", Text),
    ("notifications.smtp.transport.port", Int(0, 65535)),
    ("notifications.smtp.transport.secure", Switch),
    ("notifications.smtp.transport.username", Text),
    ("oauth.accountManagementUrl", UrlOrEmpty),
    ("oauth.allowInsecureRequests", Switch),
    ("oauth.autoLaunch", Switch),
    ("oauth.autoRegister", Switch),
    ("oauth.buttonText", Text),
    ("oauth.clientId", Text),
    ("oauth.clientSecret", Text),
    ("oauth.defaultStorageQuota", IntOrNull(0, MAX)),
    ("oauth.enabled", Switch),
    ("oauth.endSessionEndpoint", UrlOrEmpty),
    ("oauth.issuerUrl", UrlOrEmpty),
    ("oauth.mobileOverrideEnabled", Switch),
    ("oauth.mobileRedirectUri", Text),
    ("oauth.profileSigningAlgorithm", Text),
    ("oauth.prompt", Text),
    ("oauth.roleClaim", Text),
    ("oauth.scope", Text),
    ("oauth.signingAlgorithm", Text),
    ("oauth.storageLabelClaim", Text),
    ("oauth.storageQuotaClaim", Text),
    ("oauth.timeout", Int(1, MAX)),
    ("oauth.tokenEndpointAuthMethod", OneOf(&["client_secret_post", "client_secret_basic"])),
    ("passwordLogin.enabled", Switch),
    ("reverseGeocoding.enabled", Switch),
    ("server.externalDomain", UrlOrEmpty),
    ("server.loginPageMessage", Text),
    ("server.publicUsers", Switch),
    ("storageTemplate.enabled", Switch),
    ("storageTemplate.hashVerificationEnabled", Switch),
    ("storageTemplate.template", Text),
    ("templates.email.albumInviteTemplate", Text),
    ("templates.email.albumUpdateTemplate", Text),
    ("templates.email.welcomeTemplate", Text),
    ("theme.customCss", Text),
    ("trash.days", Int(0, MAX)),
    ("trash.enabled", Switch),
    ("user.deleteDelay", Int(1, MAX)),
];

/// Returns the type of the value at a path.
pub fn kind(path: &str) -> Option<Kind> {
    KEYS.iter().find(|(known, _)| *known == path).map(|(_, kind)| *kind)
}

/// Whether there are keys below a path.
pub fn is_section(path: &str) -> bool {
    KEYS.iter().any(|(known, _)| known.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// Returns the known key or section that is most similar to a path, if it is similar enough.
pub fn nearest(path: &str) -> Option<&'static str> {
    let depth = path.split('.').count();
    let known = KEYS.iter().filter_map(|(known, _)| {
        // Compares paths with the same number of parts: a section stands for the keys below it.
        let end = known.match_indices('.').nth(depth - 1).map_or(known.len(), |(at, _)| at);
        (known.split('.').count() >= depth).then(|| &known[..end])
    });
    let near = |known: &str| strsim::levenshtein(&known.to_lowercase(), &path.to_lowercase());
    let (best, steps) = known.map(|known| (known, near(known))).min_by_key(|(_, steps)| *steps)?;
    (steps <= 3).then_some(best)
}
