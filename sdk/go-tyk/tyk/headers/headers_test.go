package headers_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"testing"

	"github.com/TykTechnologies/tyk/header"
	"github.com/TykTechnologies/tyk/headers"
)

func TestOlderPathHasTheConstantsOfTheNewOne(t *testing.T) {
	old, fresh := constants(t, "headers.go"), constants(t, "../header/header.go")
	if len(old) != len(fresh) || len(old) == 0 {
		t.Fatalf("%d constants, and %d under the newer path", len(old), len(fresh))
	}
	for name := range fresh {
		if !old[name] {
			t.Errorf("headers.%s is missing", name)
		}
	}
	if headers.XRealIP != header.XRealIP || headers.ContentType != "Content-Type" {
		t.Error("constants differ")
	}
}

func constants(t *testing.T, path string) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	ast.Inspect(file, func(node ast.Node) bool {
		if spec, ok := node.(*ast.ValueSpec); ok {
			for _, name := range spec.Names {
				names[name.Name] = true
			}
		}
		return true
	})
	return names
}
