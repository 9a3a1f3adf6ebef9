package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"sort"
	"strconv"
	"strings"
)

// uncontained names calls that end the worker or take its signals, by import path. An empty list means
// every use of the package.
var uncontained = map[string][]string{
	"os":        {"Exit"},
	"log":       {"Fatal", "Fatalf", "Fatalln"},
	"os/signal": {},
	"runtime":   {"Goexit"},
}

// warnings finds code of a folder that nothing can contain. What does not parse is left to the compiler.
func warnings(folder string) []string {
	isSource := func(info fs.FileInfo) bool {
		return !strings.HasSuffix(info.Name(), "_test.go") && info.Name() != noteFile
	}
	files := token.NewFileSet()
	packages, _ := parser.ParseDir(files, folder, isSource, 0)
	var found []string
	for _, parsed := range packages {
		for _, file := range parsed.Files {
			found = append(found, inFile(files, file)...)
		}
	}
	sort.Strings(found)
	return found
}

func inFile(files *token.FileSet, file *ast.File) (found []string) {
	imports := make(map[string]string)
	for _, spec := range file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		name := path[strings.LastIndex(path, "/")+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		imports[name] = path
	}
	ast.Inspect(file, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.GoStmt:
			found = append(found, fmt.Sprintf(
				"%v: a panic in this goroutine ends the gateway's worker; start it with gantry.Go", files.Position(node.Pos())))
		case *ast.SelectorExpr:
			if name, ok := node.X.(*ast.Ident); ok && isUncontained(imports[name.Name], node.Sel.Name) {
				found = append(found, fmt.Sprintf(
					"%v: %s.%s acts on the whole worker of the gateway", files.Position(node.Pos()), name.Name, node.Sel.Name))
			}
		}
		return true
	})
	return found
}

func isUncontained(path, name string) bool {
	names, listed := uncontained[path]
	if listed && len(names) == 0 {
		return true
	}
	for _, each := range names {
		if each == name {
			return true
		}
	}
	return false
}
