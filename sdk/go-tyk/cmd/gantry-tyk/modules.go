package main

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// served is the part of our module paths under which stand-ins for others' modules are served, so that
// nothing is ever asked for under the others' own.
const served = "gantry.example/stand-in/"

// requirement is one line of a go.mod.
type requirement struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	// indirect is what only requirements themselves need.
	indirect bool
}

// embedded is a module of the SDK.
type embedded struct {
	Path string `json:"path"`
	// Served is where Go finds it: the path itself, or a stand-in's.
	Served   string        `json:"served"`
	Requires []requirement `json:"-"`
	folder   string
	sums     string
}

// embeddedModules finds the modules of the SDK, longest path first.
func embeddedModules(sdk string) ([]embedded, error) {
	var modules []embedded
	err := filepath.WalkDir(sdk, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() == "testdata" {
			return filepath.SkipDir
		}
		if entry.IsDir() || entry.Name() != "go.mod" {
			return nil
		}
		module, err := readModule(file)
		modules = append(modules, module)
		return err
	})
	sort.Slice(modules, func(i, j int) bool { return len(modules[i].Path) > len(modules[j].Path) })
	return modules, err
}

func readModule(file string) (embedded, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return embedded{}, err
	}
	module := embedded{folder: filepath.Dir(file)}
	inRequire := false
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	for lines.Scan() {
		line, comment, _ := strings.Cut(lines.Text(), "//")
		words, indirect := strings.Fields(line), strings.TrimSpace(comment) == "indirect"
		switch {
		case len(words) == 0:
		case words[0] == ")":
			inRequire = false
		case words[0] == "module" && len(words) == 2:
			module.Path = strings.Trim(words[1], `"`)
		case words[0] == "require" && len(words) == 2 && words[1] == "(":
			inRequire = true
		case words[0] == "require" && len(words) == 3:
			module.Requires = append(module.Requires, requirement{words[1], words[2], indirect})
		case inRequire && len(words) == 2:
			module.Requires = append(module.Requires, requirement{words[0], words[1], indirect})
		}
	}
	if module.Path == "" {
		return module, fmt.Errorf("%s: expected a module line", file)
	}
	module.Served = module.Path
	if !strings.HasPrefix(module.Path, "gantry.example/") {
		module.Served = served + strings.ToLower(module.Path[strings.LastIndex(module.Path, "/")+1:])
	}
	sums, err := os.ReadFile(filepath.Join(module.folder, "go.sum"))
	if err != nil && !os.IsNotExist(err) {
		return module, err
	}
	module.sums = string(sums)
	return module, nil
}

// within gives the rest of a path below a module's.
func within(path, module string) (string, bool) {
	if path == module {
		return "", true
	}
	if strings.HasPrefix(path, module+"/") {
		return path[len(module)+1:], true
	}
	return "", false
}

// folderOf gives where a package of the SDK lies, if it is one.
func folderOf(modules []embedded, path string) (string, bool) {
	for _, module := range modules {
		if rest, ok := within(path, module.Path); ok {
			folder := filepath.Join(module.folder, filepath.FromSlash(rest))
			files, _ := filepath.Glob(filepath.Join(folder, "*.go"))
			return folder, len(files) > 0
		}
	}
	return "", false
}

// thirdParties are the modules that the SDK's packages need for these imports, as its go.mod files say.
func thirdParties(modules []embedded, imports []string, goos, goarch string, tags []string) ([]requirement, string, error) {
	reader := newReader("", goos, goarch, tags)
	seen, others := map[string]bool{}, map[string]bool{}
	queue := append([]string{shimPath}, imports...)
	for len(queue) > 0 {
		path := queue[0]
		queue = queue[1:]
		if seen[path] {
			continue
		}
		seen[path] = true
		folder, ours := folderOf(modules, path)
		if !ours {
			continue
		}
		sources, err := reader.read(folder)
		if err != nil {
			return nil, "", err
		}
		for _, each := range importsOf(sources) {
			if _, ours := folderOf(modules, each); !ours {
				others[each] = true
			}
			queue = append(queue, each)
		}
	}
	var needed []requirement
	var sums strings.Builder
	for _, module := range modules {
		used := false
		var direct, behind []requirement
		for _, required := range module.Requires {
			if isNeeded(others, required.Path) {
				direct, used = append(direct, required), true
			} else if required.indirect {
				behind = append(behind, required)
			}
		}
		if used {
			// What stands behind them is named too, so that Go need not ask for it.
			needed = append(append(needed, direct...), behind...)
			sums.WriteString(module.sums)
		}
	}
	return needed, sums.String(), nil
}

func isNeeded(imports map[string]bool, module string) bool {
	for path := range imports {
		if _, ok := within(path, module); ok {
			return true
		}
	}
	return false
}
