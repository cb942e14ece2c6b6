//! Reasons: the words for every wait and every end, each with what to do about it.

/// Declares [`Reason`] with each reason's advice beside its name, so that neither can be forgotten.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident => $advice:literal,)+) => {
        /// Why a condition is as it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The condition's `reason`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// What a person can do about it, in a sentence.
            #[must_use]
            pub fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)+ }
            }
        }
    };
}

reasons! {
    /// The feeder's pod is being started.
    FeederStarting => "Nothing to do; the feeder's pod is starting.",
    /// The feeder has run.
    FeederRunning => "Nothing to do.",
    /// A container cannot be started.
    ContainerNotStarting => "See kubelet's words in the message, and the events of the pod.",
    /// Kubernetes has made no pod for the feeder's Job.
    FeederPodMissing => "See why in the events of the feeder's Job (kubectl describe job NAME-feeder): a quota or a policy may refuse its pod, the account of spec.feeder.serviceAccountName may be missing, and after several evictions Kubernetes waits for minutes; the job goes on by itself.",
    /// No feeder could run for so long that the servers were given back.
    FeederLost => "See why the feeder's pod does not run, in ResultsAvailable; servers are started again when it does.",
    /// The feeder's container keeps ending.
    FeederCrashLooping => "Read the feeder's log (kubectl logs job/NAME-feeder); it goes on by itself when the cause is gone.",
    /// The hub is asked about the model, and the data set is being read and checked.
    Inspecting => "Nothing to do; the hub is asked about the model, and the data set is read.",
    /// The data set is good.
    DatasetValid => "Nothing to do.",
    /// Rows of the data set cannot be run.
    DatasetInvalid => "Correct the lines that status.dataset.invalidRows names and create the job again. Rows that are no good requests can be skipped with dataset.invalidRows: Skip; those for a model that nothing serves cannot.",
    /// The data set is not where the job says.
    DatasetNotFound => "Correct spec.dataset, or put the data set there and create the job again.",
    /// The store refuses to give the data set.
    DatasetAccessDenied => "Correct the keys in the Secret of spec.dataset.credentialsSecretRef, or of the default store (batch-inference-store), or the bucket's policy.",
    /// The data set changed while the job ran.
    DatasetChanged => "Put the original back and create the job again, or use another output for the new data set.",
    /// The output cannot be written.
    OutputNotWritable => "Correct spec.output and the keys in the Secret of spec.output.credentialsSecretRef, or of the default store (batch-inference-store).",
    /// The store's clock and the feeder's differ by more than the store allows.
    ClockSkew => "Set the clock of the node that the message compares with the store's; the job goes on by itself.",
    /// A store does not answer, or fails.
    StoreUnavailable => "See the store's words in the message; the job goes on by itself when it answers.",
    /// The output's volume or bucket has no room left.
    OutputFull => "Make room, or enlarge the volume or the quota; the job goes on by itself.",
    /// The results have no room in the ConfigMap that they go to.
    ResultsTooLarge => "Name a store or a claim in spec.output.uri and create the job again: a ConfigMap takes 900 KiB of results.",
    /// The feeder's scratch directory is full, or cannot be written.
    ScratchUnusable => "If it is full for good, create the job again with a larger spec.feeder.scratch.sizeLimit; else the job goes on by itself.",
    /// Another job works on the same rows in the same output.
    OutputInUse => "Wait for the job that the message names, or delete one of the two; this one goes on by itself.",
    /// The output holds another job's work.
    OutputNotEmpty => "Choose another spec.output, or empty this one.",
    /// The spec asks for something that cannot be done.
    SpecInvalid => "Correct what the message names and create the job again.",
    /// The engine, or its GPU, cannot quantize like that, or does not load a checkpoint that is quantized as this one is.
    QuantizationUnsupported => "Choose another spec.server.quantization (the message may list them), another engine or another GPU, and create the job again.",
    /// An argument or a variable of the server says what a field of the spec says.
    EngineFieldConflict => "Remove the argument or variable that the message names, use the field that it names instead, and create the job again.",
    /// The operator was installed without the resource profile that the job names.
    ResourceProfileUnknown => "Choose one of the profiles that the message names, or have it added to the chart's value resourceProfiles, and create the job again.",
    /// A pod template has a field that does not exist, a value that Kubernetes refuses, or arguments that would replace the operator's.
    PodTemplateInvalid => "Correct the field that the message names and create the job again.",
    /// A Secret that the job refers to is not there.
    SecretMissing => "Create the Secret; the job goes on by itself.",
    /// A ConfigMap that the job refers to is not there.
    ConfigMapMissing => "Create the ConfigMap; the job goes on by itself.",
    /// The Deployment that the job takes its server from is not there.
    DeploymentMissing => "Create the Deployment; the job goes on by itself.",
    /// A PersistentVolumeClaim that the job refers to is not there.
    ClaimMissing => "Create the PersistentVolumeClaim; the job goes on by itself.",
    /// A PersistentVolumeClaim that the job refers to has no volume yet.
    ClaimPending => "See the events of the PersistentVolumeClaim (kubectl describe pvc): its storage class must make a volume, or one must be there; the job goes on by itself.",
    /// A child of a deleted job of the same name is still there.
    WaitingForOldChild => "Nothing to do; the job goes on when the old object is gone.",
    /// An object that this job needs to create belongs to someone else.
    ChildNameTaken => "Rename or delete the object that the message names, or choose another name for the job.",
    /// Kubernetes refused an object of the job.
    AdmissionRefused => "See the message: a policy or an admission webhook refused the object.",
    /// A quota of the namespace is used up.
    QuotaExceeded => "Have the quota that the message names raised, or wait until something else in the namespace ends; the job goes on by itself.",
    /// Model servers are starting.
    ServersStarting => "Nothing to do; a server becomes ready when its model is loaded.",
    /// At least one model server is ready.
    ServersReady => "Nothing to do.",
    /// No model server is needed now.
    ServersNotNeeded => "Nothing to do.",
    /// Rows are sent to the endpoint.
    EndpointUsed => "Nothing to do.",
    /// The endpoint cannot be reached.
    EndpointUnreachable => "See the message; correct spec.endpoint.url and create the job again if it is wrong, else the job goes on by itself when the endpoint is back.",
    /// The endpoint takes rows and answers none.
    EndpointHung => "Ask whoever runs the endpoint; the job goes on by itself when it answers again.",
    /// Kubelet evicted a pod as its node had no room left.
    Evicted => "See kubelet's words in the message; another pod takes its place, and the job goes on by itself.",
    /// Kubelet did not take a pod that was to run on its node.
    PodRejected => "See kubelet's words in the message, and what the node has (kubectl describe node): repair it, or cordon it so that no pod comes there; another pod is made, and the job goes on by itself.",
    /// A pod used more of its node's disk than it may.
    EphemeralStorageExceeded => "Raise the limit that the message names: ephemeral-storage in spec.server.resources or spec.feeder.resources, the sizeLimit of a volume of a podTemplate, or spec.feeder.scratch.sizeLimit; and create the job again.",
    /// No node has room for a server.
    Unschedulable => "See the scheduler's words in the message; the job goes on when a node has room.",
    /// The servers' image cannot be pulled.
    ImagePullFailed => "Correct spec.server.image or imageTag, or give the pod an imagePullSecret by spec.server.podTemplate.",
    /// The registry of an image does not answer.
    RegistryUnavailable => "Nothing is wrong with the job if the image's registry is right: kubelet tries again, and the job goes on by itself.",
    /// The image of the feeder's pod cannot be pulled.
    FeederImagePullFailed => "It is the operator's image: have it corrected in the chart's values (image, feeder.image), or give the pod an imagePullSecret by spec.feeder.podTemplate, and create the job again.",
    /// A server keeps ending.
    ServerCrashLooping => "See the server's last words in the message, and its log while it is there (kubectl logs); correct spec.server and create the job again.",
    /// The Hugging Face Hub does not let the server have the model.
    ModelAccessDenied => "Ask for access to the model at its page on huggingface.co, name a token that has it by spec.server.hfTokenSecretRef, and create the job again.",
    /// There is no such model.
    ModelNotFound => "Correct spec.server.baseModel and create the job again; of a private model the Hub also says that it is not there, and then a token is missing (spec.server.hfTokenSecretRef).",
    /// The model has more parameters than whoever installed the operator allows.
    ModelTooLarge => "Choose a smaller model, or have the chart's value maxBaseModelParameters raised, and create the job again.",
    /// The engine does not load the files that the model has.
    EngineModelMismatch => "Choose the engine for what the model has (LlamaCpp for GGUF files, VLLM, LoRAX or SGLang for safetensors), or a model that has what the engine loads, and create the job again.",
    /// The model is brought into the model cache, on a CPU.
    ModelCaching => "Nothing to do; servers start when the model is there.",
    /// The hub does not answer, and the model cache cannot be filled without it.
    ModelHubUnreachable => "See the message, and the chart's values hub.endpoint, hub.httpsProxy and hub.caConfigMap; the job goes on by itself when the hub answers.",
    /// The claim of the model cache has no room left.
    ModelCacheFull => "Enlarge the claim that the message names, or remove models from it that nobody needs; the job goes on by itself.",
    /// The claim of the model cache cannot be used as the job needs it.
    ModelCacheUnsuitable => "See the message; name a claim with access mode ReadWriteMany in spec.server.modelCache, or spec.server.replicas: 1, and create the job again.",
    /// The container keeps ending that fills the model cache.
    ModelCacheCrashLooping => "Read its log (kubectl logs job/NAME-model-cache); it goes on by itself when the cause is gone.",
    /// Kubernetes has made no pod for the Job that fills the model cache.
    ModelCachePodMissing => "See why in the events of that Job (kubectl describe job NAME-model-cache): a quota or a policy may refuse its pod; the job goes on by itself.",
    /// The engine does not take adapters from there.
    AdaptersUnsupported => "Choose the engine or the source that the message names, or remove spec.server.adapters, and create the job again.",
    /// An adapter that rows name is not where the job says.
    AdapterNotFound => "Correct the names in body.model of the rows, or spec.server.adapters, and create the job again; with adapters.onError: FailRows the rows of other adapters run.",
    /// An adapter that rows name cannot be loaded by the servers.
    AdapterNotLoaded => "See the server's words in the message: the adapter must be one of this base model, and of a kind and rank that the engine loads; with adapters.onError: FailRows the rows of other adapters run.",
    /// Servers are loading the adapters that rows name.
    AdaptersLoading => "Nothing to do; rows are sent to a server when it has the adapters.",
    /// The model does not fit the GPU.
    OutOfGPUMemory => "Use a GPU with more memory, more GPUs for one server, a smaller model, quantization, or a shorter context (--max-model-len or -c in spec.server.args), and create the job again.",
    /// The engine does not know this kind of model.
    UnsupportedArchitecture => "Use a newer spec.server.imageTag, another engine or another model, and create the job again.",
    /// The server does not take an argument.
    InvalidServerArguments => "Correct spec.server.args or env and create the job again.",
    /// The node of a server does not answer.
    NodeLost => "Repair or delete the Node: until then nobody knows whether its GPUs are free. The job does not wait for it.",
    /// A server takes rows and answers none.
    ServerHung => "Nothing to do; its pod is replaced, and its rows go to other servers.",
    /// A server did not become ready in time.
    StartupTimeout => "Raise spec.server.startupTimeoutSeconds, or see the server's last words in the message.",
    /// Servers are still there and needed.
    ServersRunning => "Nothing to do; servers are released when the last answer is in.",
    /// Servers are on their way out.
    ServersTerminating => "Nothing to do; the servers' pods are ending.",
    /// No server is left.
    ServersGone => "Nothing to do.",
    /// The job starts no server, so it holds no GPU.
    NoServers => "Nothing to do.",
    /// The endpoint refuses the feeder's requests.
    EndpointAccessDenied => "Correct the key in the Secret of spec.endpoint.apiKeySecretRef, or what it may use, and create the job again: it goes on from the rows that are finished.",
    /// The model server refuses the feeder's requests.
    ServerRefusesRequests => "The server answered 401 or 403: remove an API key from spec.server.args or env.",
    /// Results are not written yet.
    ResultsPending => "Nothing to do; results are written when the last row is finished.",
    /// Results, errors and manifest are written.
    ResultsWritten => "Nothing to do.",
    /// Every row has a result.
    AllRowsSucceeded => "Nothing to do.",
    /// Some rows have an error.
    SomeRowsFailed => "See errors.jsonl in the output for each failed row.",
    /// Every row has an error.
    AllRowsFailed => "See errors.jsonl in the output: no row succeeded.",
    /// More rows failed than the job allows.
    TooManyFailedRows => "See errors.jsonl in the output; raise spec.rowPolicy.maxFailedRows and choose another output to run the rows again.",
    /// The first hundred rows all failed the same way.
    RowsFailAlike => "Correct what the message quotes, in the rows, in spec.server or in spec.endpoint, and choose another output.",
    /// The job used up what it may.
    BudgetExceeded => "Raise spec.budget and choose another output to run the rows again; those that are done are in the results.",
    /// The job was active for as long as it may be.
    DeadlineExceeded => "See errors.jsonl in the output for the rows that were not run (batch_expired).",
    /// Somebody asked for the job's end.
    Cancelled => "Nothing to do; rows that were not run are in errors.jsonl (batch_cancelled), if there are results.",
    /// The job was to end, and no feeder could run to write its results.
    ResultsNotFinalized => "Ask batch-inference-operator verify about the output: it says whether the same job, created again without spec.shutdown, runs the other rows, or only writes what is there as results.",
    /// The job is suspended.
    Suspended => "Nothing to do; set spec.suspend to false to go on.",
    /// The job was suspended, and is not any more.
    Resumed => "Nothing to do.",
    /// The job ends before its last row.
    Stopping => "Nothing to do; what is finished becomes the results.",
    /// The output already held the finished results of exactly this work.
    ResultsReused => "Nothing to do; to run the rows again, choose another output.",
    /// The job has ended.
    Ended => "Nothing to do.",
}

impl Reason {
    /// The reason that a word stands for.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == word)
    }

    /// Whether a store refuses the job's keys.
    #[must_use]
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::OutputNotWritable | Self::DatasetAccessDenied)
    }

    /// Whether a job that ended for this reason ended with results to be used.
    #[must_use]
    pub fn is_success(self) -> bool {
        matches!(
            self,
            Self::AllRowsSucceeded | Self::SomeRowsFailed | Self::ResultsReused
        )
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}
