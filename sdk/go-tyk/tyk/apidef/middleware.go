package apidef

// MiddlewareDefinition is one function at a hook.
type MiddlewareDefinition struct {
	Disabled       bool   `json:"disabled"`
	Name           string `json:"name"`
	Path           string `json:"path"`
	Code           string `json:"code,omitempty"`
	RequireSession bool   `json:"require_session"`
	RawBodyOnly    bool   `json:"raw_body_only"`
}

// MiddlewareIdExtractor says how a key is found without the function. Go functions do not use it.
type MiddlewareIdExtractor struct {
	Disabled        bool                   `json:"disabled"`
	ExtractFrom     IdExtractorSource      `json:"extract_from"`
	ExtractWith     IdExtractorType        `json:"extract_with"`
	ExtractorConfig map[string]interface{} `json:"extractor_config"`
	Extractor       IDExtractor            `json:"-"`
}

// MiddlewareSection lists the functions at each hook.
type MiddlewareSection struct {
	Pre         []MiddlewareDefinition `json:"pre"`
	Post        []MiddlewareDefinition `json:"post"`
	PostKeyAuth []MiddlewareDefinition `json:"post_key_auth"`
	AuthCheck   MiddlewareDefinition   `json:"auth_check"`
	Response    []MiddlewareDefinition `json:"response"`
	TrafficLogs MiddlewareDefinition   `json:"traffic_logs"`
	Driver      MiddlewareDriver       `json:"driver"`
	IdExtractor MiddlewareIdExtractor  `json:"id_extractor"`
}

// BundleManifest is what a bundle says of itself.
type BundleManifest struct {
	FileList         []string          `json:"file_list"`
	CustomMiddleware MiddlewareSection `json:"custom_middleware"`
	Checksum         string            `json:"checksum"`
	Signature        string            `json:"signature"`
}

// ResponseProcessor is a step of a response.
type ResponseProcessor struct {
	Name    string      `json:"name"`
	Options interface{} `json:"options"`
}

// AnalyticsPluginConfig names the function that changes analytics records. The gateway runs none.
type AnalyticsPluginConfig struct {
	Enabled    bool   `json:"enable,omitempty"`
	PluginPath string `json:"plugin_path,omitempty"`
	FuncName   string `json:"func_name,omitempty"`
}

// EventHandlerTriggerConfig is what one event leads to.
type EventHandlerTriggerConfig struct {
	Handler     TykEventHandlerName    `json:"handler_name"`
	HandlerMeta map[string]interface{} `json:"handler_meta"`
}

// EventHandlerMetaConfig is what events lead to.
type EventHandlerMetaConfig struct {
	Events map[TykEvent][]EventHandlerTriggerConfig `json:"events"`
}

// NotificationsManager says whom key changes are told.
type NotificationsManager struct {
	SharedSecret      string `json:"shared_secret"`
	OAuthKeyChangeURL string `json:"oauth_on_keychange_url"`
}
