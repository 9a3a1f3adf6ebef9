package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	tykModule    = "github.com/TykTechnologies/tyk"
	storagePath  = "github.com/TykTechnologies/storage"
	spansModule  = "github.com/TykTechnologies/opentelemetry"
	contextPath  = tykModule + "/ctx"
	userPath     = tykModule + "/user"
	oasPath      = tykModule + "/apidef/oas"
	kinPath      = "github.com/getkin/kin-openapi"
	kinOfTykPath = "github.com/TykTechnologies/kin-openapi"
)

// refusedNames are names of Tyk's packages that steer Tyk itself, by package below its module.
type refusedNames map[string]map[string]refusedName

type refusedName struct {
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

// steering is what the context keys do whose reason needs no table.
var steering = map[string]string{
	"RetainHost":                "set preserve_host_header in the API definition",
	"TrackThisEndpoint":         "Gantry counts every endpoint",
	"DoNotTrackThisEndpoint":    "Gantry counts every endpoint",
	"UrlRewritePath":            "set r.URL.Path",
	"UrlRewriteTarget":          "set r.URL.Path; the upstream is the API definition's",
	"InternalRedirectTarget":    "set r.URL.Path; the upstream is the API definition's",
	"RequestMethod":             "set r.Method",
	"TransformedRequestMethod":  "set r.Method",
	"LoopLevel":                 "requests do not loop in Gantry",
	"LoopLevelLimit":            "requests do not loop in Gantry",
	"CheckLoopLimits":           "requests do not loop in Gantry",
	"SelfLooping":               "requests do not loop in Gantry",
	"ThrottleLevel":             "requests are not throttled in Gantry",
	"ThrottleLevelLimit":        "requests are not throttled in Gantry",
	"VersionName":               "API versions are definitions of their own",
	"VersionDefault":            "API versions are definitions of their own",
	"VersionData":               "API versions are definitions of their own",
	"CacheOptions":              "set Cache-Control on the response",
	"OrgSessionContext":         "there are no organisation sessions; use the session",
	"GraphQLRequest":            "GraphQL is not handled by Gantry",
	"GraphQLIsWebSocketUpgrade": "GraphQL is not handled by Gantry",
	"JsonRPCRouting":            "JSON-RPC is not handled by Gantry",
	"JSONRPCRequest":            "JSON-RPC is not handled by Gantry",
	"JSONRPCRoutingState":       "JSON-RPC is not handled by Gantry",
	"MCPRouting":                "MCP is not handled by Gantry",
	"MatchedIdPBinding":         "identity providers are not handled by Gantry",
}

// readRefused reads the table beside our implementation of Tyk's packages; without one the keys above
// are refused.
func readRefused(sdk string) (refusedNames, error) {
	names := refusedNames{}
	text, err := os.ReadFile(filepath.Join(sdk, "go-tyk", "tyk", "refused.json"))
	if err == nil {
		return names, parseRefused(text, names)
	}
	keys := map[string]refusedName{}
	for name, reason := range steering {
		keys[name] = refusedName{"TYK_CONTEXT_KEY", reason}
	}
	names["ctx"] = keys
	return names, nil
}

func parseRefused(text []byte, names refusedNames) error {
	if err := json.Unmarshal(text, &names); err != nil {
		return fmt.Errorf("refused.json: %w", err)
	}
	return nil
}

// importRefusal says why a package of Tyk's is no part of what plugins can have here.
func importRefusal(path string, ours func(string) bool) (code, advice string) {
	if path == storagePath || strings.HasPrefix(path, storagePath+"/") {
		return "TYK_STORAGE", "the gateway has no Redis: connect with your own client, or keep it in the session"
	}
	if _, spans := within(path, spansModule); spans && !ours(path) {
		return "TYK_INTERNAL", "plugins have its package trace; for the rest use go.opentelemetry.io/otel"
	}
	below := strings.TrimPrefix(path, tykModule+"/")
	if below == path && path != tykModule {
		return "", ""
	}
	first := strings.SplitN(below, "/", 2)[0]
	switch {
	case first == "storage":
		return "TYK_STORAGE", "the gateway has no Redis: connect with your own client, or keep it in the session"
	case first == "config":
		return "TYK_CONFIG", "the gateway's configuration is not for plugins: put what the plugin needs in config_data"
	case first == "gateway" || first == "rpc" || first == "internal":
		return "TYK_INTERNAL", "use what the request, its context and the session offer: ctx, user, apidef"
	case !ours(path):
		return "TYK_INTERNAL", "plugins have ctx, user, header, headers, log, analytics, apidef, apidef/oas, request, regexp and trace"
	}
	return "", ""
}

// refused finds imports and names that are refused.
func (r *reader) refused(sources []source, names refusedNames, ours packages) (found []finding) {
	for i := range sources {
		in := &sources[i]
		for _, spec := range in.file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue
			}
			if _, isOwn := r.own.folderOf(path); isOwn {
				continue // below Tyk's path, perhaps, and yet the author's
			}
			if code, advice := importRefusal(path, ours.has); code != "" {
				message := fmt.Sprintf("import of %q, which gateways do not have", path)
				found = append(found, refusal(r.files.Position(spec.Pos()), code, message, advice))
			}
		}
		at := func(pos token.Pos, path, name string) {
			below := strings.TrimPrefix(path, tykModule+"/")
			if why, ok := names[below][name]; ok && below != path {
				message := fmt.Sprintf("%s.%s steers Tyk and is not supported", baseName(path), name)
				found = append(found, refusal(r.files.Position(pos), why.Code, message, why.Reason))
				return
			}
			if _, isOwn := r.own.folderOf(path); !isOwn && ours.lacks(path, name) {
				message := fmt.Sprintf("%s.%s: expected a name that plugins have in %s, found none", baseName(path), name, path)
				found = append(found, refusal(r.files.Position(pos), "TYK_INTERNAL", message, unknownAdvice))
			}
		}
		ast.Inspect(in.file, func(node ast.Node) bool {
			if selector, ok := node.(*ast.SelectorExpr); ok {
				path, name := in.selected(selector)
				at(selector.Pos(), path, name)
			}
			return true
		})
	}
	return found
}

// tagsFor are the tags that our implementation of Tyk's packages is built with: what needs a third
// party's module is left out unless the plugin uses it.
func tagsFor(all []source, requires []string) []string {
	tags, getkins := map[string]bool{}, contains(requires, kinPath)
	for i := range all {
		in := &all[i]
		for _, path := range importsOf(all[i : i+1]) {
			if path == oasPath {
				tags["gantry_oas"] = true
			}
			if _, ok := within(path, kinPath); ok {
				getkins = true
			}
			if path == kinOfTykPath || strings.HasPrefix(path, kinOfTykPath+"/") {
				tags["gantry_kin_tyk"] = true
			}
		}
		ast.Inspect(in.file, func(node ast.Node) bool {
			if selector, ok := node.(*ast.SelectorExpr); ok {
				if path, name := in.selected(selector); path == contextPath && strings.Contains(name, "OAS") {
					tags["gantry_oas"] = true
				}
			}
			if in.pointsToLimit(node) {
				tags["gantry_limit_pointer"] = true
			}
			return true
		})
	}
	// The module file says which of the two an author who imports neither means.
	if tags["gantry_oas"] && !getkins && contains(requires, kinOfTykPath) {
		tags["gantry_kin_tyk"] = true
	}
	return sorted(tags)
}

// pointsToLimit finds `Limit: &user.APILimit{...}` and `x.Limit = &user.APILimit{...}`: in Tyk 2.9 the limit
// of an API was a pointer.
func (s *source) pointsToLimit(node ast.Node) bool {
	isPointer := func(value ast.Expr) bool {
		address, ok := value.(*ast.UnaryExpr)
		if !ok || address.Op != token.AND {
			return false
		}
		literal, ok := address.X.(*ast.CompositeLit)
		if !ok {
			return false
		}
		path, name := s.selected(literal.Type)
		return path == userPath && name == "APILimit"
	}
	switch of := node.(type) {
	case *ast.KeyValueExpr:
		key, ok := of.Key.(*ast.Ident)
		return ok && key.Name == "Limit" && isPointer(of.Value)
	case *ast.AssignStmt:
		for i, left := range of.Lhs {
			field, ok := left.(*ast.SelectorExpr)
			if ok && field.Sel.Name == "Limit" && len(of.Rhs) == len(of.Lhs) && isPointer(of.Rhs[i]) {
				return true
			}
		}
	}
	return false
}
