// Package tyk holds no code: its tests look at all packages of the module together.
package tyk

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type refusal struct{ Code, Reason string }

func refused(t *testing.T) (table map[string]map[string]refusal) {
	t.Helper()
	text, err := os.ReadFile("refused.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &table); err != nil {
		t.Fatal(err)
	}
	return table
}

// names gives the exported names that a package declares, whatever its build tags.
func names(t *testing.T, folder string, tests bool) map[string]bool {
	t.Helper()
	packages, err := parser.ParseDir(token.NewFileSet(), folder, func(file fs.FileInfo) bool {
		return strings.HasSuffix(file.Name(), "_test.go") == tests
	}, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, in := range packages {
		for _, file := range in.Files {
			if tests {
				ast.Inspect(file, func(node ast.Node) bool {
					if name, ok := node.(*ast.Ident); ok {
						found[name.Name] = true
					}
					return true
				})
				continue
			}
			for _, declaration := range file.Decls {
				declared(declaration, found)
			}
		}
	}
	return found
}

func declared(declaration ast.Decl, found map[string]bool) {
	switch of := declaration.(type) {
	case *ast.FuncDecl:
		if of.Name.IsExported() {
			found[of.Name.Name] = true
		}
	case *ast.GenDecl:
		for _, spec := range of.Specs {
			switch of := spec.(type) {
			case *ast.TypeSpec:
				if of.Name.IsExported() {
					found[of.Name.Name] = true
				}
			case *ast.ValueSpec:
				for _, name := range of.Names {
					if name.IsExported() {
						found[name.Name] = true
					}
				}
			}
		}
	}
}

func TestRefusedNamesHaveACodeAndAReasonAndDoNotExist(t *testing.T) {
	codes := map[string]bool{"TYK_INTERNAL": true, "TYK_STORAGE": true, "TYK_CONFIG": true, "TYK_CONTEXT_KEY": true}
	for folder, table := range refused(t) {
		exist := names(t, filepath.FromSlash(folder), false)
		for name, why := range table {
			if !codes[why.Code] || why.Reason == "" {
				t.Errorf("%s.%s: %+v", folder, name, why)
			}
			if exist[name] {
				t.Errorf("%s.%s is refused and exists", folder, name)
			}
		}
	}
}

// The context keys and functions that Tyk exports, each of which works or is refused.
func TestEachNameOfTyksContextWorksOrIsRefused(t *testing.T) {
	exist, table := names(t, "ctx", false), refused(t)["ctx"]
	for _, name := range strings.Fields(`SessionData UpdateSession AuthToken HashedAuthToken VersionData VersionName VersionDefault
		OrgSessionContext ContextData RetainHost TrackThisEndpoint DoNotTrackThisEndpoint UrlRewritePath InternalRedirectTarget
		RequestMethod OrigRequestURL LoopLevel LoopLevelLimit ThrottleLevel ThrottleLevelLimit Trace CheckLoopLimits
		UrlRewriteTarget TransformedRequestMethod Definition RequestStatus GraphQLRequest GraphQLIsWebSocketUpgrade CacheOptions
		OASDefinition SelfLooping RequestStartTime ErrorClassification JsonRPCRouting JSONRPCRequest JSONRPCRoutingState MCPRouting
		MCPMethod MCPPrimitiveType MCPPrimitiveName JSONRPCErrorCode MatchedIdPBinding UpstreamHostOverride
		GetSession SetSession GetAuthToken GetDefinition SetDefinition GetOASDefinition SetOASDefinition GetOASConfigData
		GetErrorClassification SetErrorClassification GetMCPMethod GetMCPPrimitiveType GetMCPPrimitiveName GetJSONRPCErrorCode Key`) {
		if _, no := table[name]; no == exist[name] {
			t.Errorf("ctx.%s: refused %v, exists %v", name, no, exist[name])
		}
	}
}

// Each exported function and type is used in a test of its package; fields and constants are tested by
// their JSON and in tables.
func TestEachExportedFunctionIsTested(t *testing.T) {
	for _, folder := range []string{"ctx", "user", "log", "request", "regexp", "trace"} {
		tested := names(t, folder, true)
		for name := range names(t, folder, false) {
			switch {
			case tested[name], name == "Len", name == "Less", name == "Swap", name == "Value", name == "Leave", name == "Format", name == "Write",
				name == "MarshalJSON", name == "UnmarshalJSON":
			default:
				t.Errorf("%s.%s is in no test", folder, name)
			}
		}
	}
}
