//! Every key of Immich's configuration file, and the type of its value: Immich v3.2 (`@immich/sdk` 3.2.2, `AdminConfigDto`).
//!
//! A value of another type stops Immich's start; a key that is not here is only warned of, and then ignored.

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// Text.
    Text,
    /// A number.
    Number,
    /// A number, or `null` for none.
    NumberOrNull,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of text.
    Texts,
    /// A list of these words.
    ManyOf(&'static [&'static str]),
    /// A list of numbers.
    Numbers,
}

use Kind::{Bool, ManyOf, Number, NumberOrNull, Numbers, OneOf, Text, Texts};

const VIDEO: &[&str] = &["h264", "hevc", "vp9", "av1"];
const AUDIO: &[&str] = &["mp3", "aac", "opus", "pcm_s16le"];
const FORMAT: &[&str] = &["jpeg", "webp"];

/// Path and type.
pub const KEYS: &[(&str, Kind)] = &[
    ("backup.database.cronExpression", Text),
    ("backup.database.enabled", Bool),
    ("backup.database.keepLastAmount", Number),
    ("ffmpeg.accel", OneOf(&["nvenc", "qsv", "vaapi", "rkmpp", "disabled"])),
    ("ffmpeg.accelDecode", Bool),
    ("ffmpeg.acceptedAudioCodecs", ManyOf(AUDIO)),
    ("ffmpeg.acceptedContainers", ManyOf(&["mov", "mp4", "ogg", "webm"])),
    ("ffmpeg.acceptedVideoCodecs", ManyOf(VIDEO)),
    ("ffmpeg.bframes", Number),
    ("ffmpeg.cqMode", OneOf(&["auto", "cqp", "icq"])),
    ("ffmpeg.crf", Number),
    ("ffmpeg.gopSize", Number),
    ("ffmpeg.maxBitrate", Text),
    ("ffmpeg.preferredHwDevice", Text),
    ("ffmpeg.preset", Text),
    ("ffmpeg.realtime.enabled", Bool),
    ("ffmpeg.realtime.resolutions", Numbers),
    ("ffmpeg.realtime.videoCodecs", ManyOf(VIDEO)),
    ("ffmpeg.refs", Number),
    ("ffmpeg.targetAudioCodec", OneOf(AUDIO)),
    ("ffmpeg.targetResolution", Text),
    ("ffmpeg.targetVideoCodec", OneOf(VIDEO)),
    ("ffmpeg.temporalAQ", Bool),
    ("ffmpeg.threads", Number),
    ("ffmpeg.tonemap", OneOf(&["hable", "mobius", "reinhard", "disabled"])),
    ("ffmpeg.transcode", OneOf(&["all", "optimal", "bitrate", "required", "disabled"])),
    ("ffmpeg.twoPass", Bool),
    ("image.colorspace", OneOf(&["srgb", "p3"])),
    ("image.extractEmbedded", Bool),
    ("image.fullsize.enabled", Bool),
    ("image.fullsize.format", OneOf(FORMAT)),
    ("image.fullsize.progressive", Bool),
    ("image.fullsize.quality", Number),
    ("image.preview.format", OneOf(FORMAT)),
    ("image.preview.progressive", Bool),
    ("image.preview.quality", Number),
    ("image.preview.size", Number),
    ("image.thumbnail.format", OneOf(FORMAT)),
    ("image.thumbnail.progressive", Bool),
    ("image.thumbnail.quality", Number),
    ("image.thumbnail.size", Number),
    ("integrityChecks.checksumFiles.cronExpression", Text),
    ("integrityChecks.checksumFiles.enabled", Bool),
    ("integrityChecks.checksumFiles.percentageLimit", Number),
    ("integrityChecks.checksumFiles.timeLimit", Number),
    ("integrityChecks.missingFiles.cronExpression", Text),
    ("integrityChecks.missingFiles.enabled", Bool),
    ("integrityChecks.untrackedFiles.cronExpression", Text),
    ("integrityChecks.untrackedFiles.enabled", Bool),
    ("job.backgroundTask.concurrency", Number),
    ("job.editor.concurrency", Number),
    ("job.faceDetection.concurrency", Number),
    ("job.integrityCheck.concurrency", Number),
    ("job.library.concurrency", Number),
    ("job.metadataExtraction.concurrency", Number),
    ("job.migration.concurrency", Number),
    ("job.notifications.concurrency", Number),
    ("job.ocr.concurrency", Number),
    ("job.search.concurrency", Number),
    ("job.sidecar.concurrency", Number),
    ("job.smartSearch.concurrency", Number),
    ("job.thumbnailGeneration.concurrency", Number),
    ("job.videoConversion.concurrency", Number),
    ("job.workflow.concurrency", Number),
    ("library.scan.cronExpression", Text),
    ("library.scan.enabled", Bool),
    ("library.watch.enabled", Bool),
    ("logging.enabled", Bool),
    ("logging.level", OneOf(&["verbose", "debug", "log", "warn", "error", "fatal"])),
    ("machineLearning.availabilityChecks.enabled", Bool),
    ("machineLearning.availabilityChecks.interval", Number),
    ("machineLearning.availabilityChecks.timeout", Number),
    ("machineLearning.clip.enabled", Bool),
    ("machineLearning.clip.modelName", Text),
    ("machineLearning.duplicateDetection.enabled", Bool),
    ("machineLearning.duplicateDetection.maxDistance", Number),
    ("machineLearning.enabled", Bool),
    ("machineLearning.facialRecognition.enabled", Bool),
    ("machineLearning.facialRecognition.maxDistance", Number),
    ("machineLearning.facialRecognition.minFaces", Number),
    ("machineLearning.facialRecognition.minScore", Number),
    ("machineLearning.facialRecognition.modelName", Text),
    ("machineLearning.ocr.enabled", Bool),
    ("machineLearning.ocr.maxResolution", Number),
    ("machineLearning.ocr.minDetectionScore", Number),
    ("machineLearning.ocr.minRecognitionScore", Number),
    ("machineLearning.ocr.modelName", Text),
    ("machineLearning.urls", Texts),
    ("map.darkStyle", Text),
    ("map.enabled", Bool),
    ("map.lightStyle", Text),
    ("metadata.faces.import", Bool),
    ("newVersionCheck.channel", OneOf(&["stable", "releaseCandidate"])),
    ("newVersionCheck.enabled", Bool),
    ("nightlyTasks.clusterNewFaces", Bool),
    ("nightlyTasks.databaseCleanup", Bool),
    ("nightlyTasks.generateMemories", Bool),
    ("nightlyTasks.missingThumbnails", Bool),
    ("nightlyTasks.startTime", Text),
    ("nightlyTasks.syncQuotaUsage", Bool),
    ("notifications.smtp.enabled", Bool),
    ("notifications.smtp.from", Text),
    ("notifications.smtp.replyTo", Text),
    ("notifications.smtp.transport.host", Text),
    ("notifications.smtp.transport.ignoreCert", Bool),
    ("notifications.smtp.transport.password", Text),
    ("notifications.smtp.transport.port", Number),
    ("notifications.smtp.transport.secure", Bool),
    ("notifications.smtp.transport.username", Text),
    ("oauth.accountManagementUrl", Text),
    ("oauth.allowInsecureRequests", Bool),
    ("oauth.autoLaunch", Bool),
    ("oauth.autoRegister", Bool),
    ("oauth.buttonText", Text),
    ("oauth.clientId", Text),
    ("oauth.clientSecret", Text),
    ("oauth.defaultStorageQuota", NumberOrNull),
    ("oauth.enabled", Bool),
    ("oauth.endSessionEndpoint", Text),
    ("oauth.issuerUrl", Text),
    ("oauth.mobileOverrideEnabled", Bool),
    ("oauth.mobileRedirectUri", Text),
    ("oauth.profileSigningAlgorithm", Text),
    ("oauth.prompt", Text),
    ("oauth.roleClaim", Text),
    ("oauth.scope", Text),
    ("oauth.signingAlgorithm", Text),
    ("oauth.storageLabelClaim", Text),
    ("oauth.storageQuotaClaim", Text),
    ("oauth.timeout", Number),
    ("oauth.tokenEndpointAuthMethod", OneOf(&["client_secret_post", "client_secret_basic"])),
    ("passwordLogin.enabled", Bool),
    ("reverseGeocoding.enabled", Bool),
    ("server.externalDomain", Text),
    ("server.loginPageMessage", Text),
    ("server.publicUsers", Bool),
    ("storageTemplate.enabled", Bool),
    ("storageTemplate.hashVerificationEnabled", Bool),
    ("storageTemplate.template", Text),
    ("templates.email.albumInviteTemplate", Text),
    ("templates.email.albumUpdateTemplate", Text),
    ("templates.email.welcomeTemplate", Text),
    ("theme.customCss", Text),
    ("trash.days", Number),
    ("trash.enabled", Bool),
    ("user.deleteDelay", Number),
];

/// The type of the value at this path.
pub fn kind(path: &str) -> Option<Kind> {
    KEYS.iter().find(|(known, _)| *known == path).map(|(_, kind)| *kind)
}

/// Whether there are keys below this path.
pub fn is_section(path: &str) -> bool {
    KEYS.iter().any(|(known, _)| known.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// The known path that is most like this one, if one is near enough to be meant.
pub fn nearest(path: &str) -> Option<&'static str> {
    let near = |known: &str| distance(&known.to_lowercase(), &path.to_lowercase());
    let (best, steps) = KEYS.iter().map(|(known, _)| (*known, near(known))).min_by_key(|(_, steps)| *steps)?;
    (steps <= 3).then_some(best)
}

/// How many letters have to be changed, added or taken away (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(a != *b)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row.last().copied().unwrap_or_default()
}
