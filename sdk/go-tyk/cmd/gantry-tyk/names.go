package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
)

const unknownAdvice = "docs/TYK-API.md says what each package has; names that differ from Tyk's by mistake are refused too"

// packages are those of the SDK that stand for Tyk's.
type packages struct {
	modules []embedded
	// names that each declares, once somebody has asked.
	names map[string]map[string]bool
}

func (p packages) has(path string) bool {
	_, ok := folderOf(p.modules, path)
	return ok
}

// lacks says whether a package that stands for one of Tyk's declares no such name, whatever the build tags.
func (p packages) lacks(path, name string) bool {
	folder, ours := folderOf(p.modules, path)
	if !ours || !ast.IsExported(name) || strings.HasPrefix(path, "gantry.example/") {
		return false
	}
	declared, known := p.names[path]
	if !known {
		declared = declaredIn(folder)
		p.names[path] = declared
	}
	return len(declared) > 0 && !declared[name]
}

// declaredIn gives the names that the files of a folder declare for their package.
func declaredIn(folder string) map[string]bool {
	names := map[string]bool{}
	files, _ := filepath.Glob(filepath.Join(folder, "*.go"))
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			continue
		}
		for _, declaration := range file.Decls {
			switch of := declaration.(type) {
			case *ast.FuncDecl:
				if of.Recv == nil {
					names[of.Name.Name] = true
				}
			case *ast.GenDecl:
				for _, spec := range of.Specs {
					switch of := spec.(type) {
					case *ast.TypeSpec:
						names[of.Name.Name] = true
					case *ast.ValueSpec:
						for _, name := range of.Names {
							names[name.Name] = true
						}
					}
				}
			}
		}
	}
	return names
}
