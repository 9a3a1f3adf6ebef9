package main

import (
	"flag"
	"fmt"
	"path/filepath"
	"strings"
)

// scanned is the answer to a scan.
type scanned struct {
	Functions []function `json:"functions"`
	Skipped   []skipped  `json:"skipped"`
	Refusals  []finding  `json:"refusals"`
	Warnings  []finding  `json:"warnings"`
	// Imports of the plugin and of the packages of its own module.
	Imports []string `json:"imports"`
	// Tags that the build needs.
	Tags []string `json:"tags"`
	// Needs are modules that Tyk's packages, as we have them, need, at the version that they were tried
	// with; what the author says goes first.
	Needs []requirement `json:"needs"`
	Sums  string        `json:"sums"`
	// Modules of the SDK.
	Modules []embedded `json:"modules"`
	Glue    string     `json:"glue"`
	Note    string     `json:"note"`
	// newerKin says that the sources are for what kin-openapi became.
	newerKin bool
}

// local is a module whose source lies on this machine.
type local struct{ path, folder string }

type locals []local

func (l *locals) String() string { return fmt.Sprint(*l) }

func (l *locals) Set(value string) error {
	path, folder, ok := strings.Cut(value, "=")
	if !ok {
		return fmt.Errorf("expected module=folder, found %q", value)
	}
	*l = append(*l, local{path, folder})
	return nil
}

func scanCommand(arguments []string) (any, error) {
	flags := flag.NewFlagSet("scan", flag.ContinueOnError)
	folder := flags.String("dir", ".", "the folder of the package main")
	sdk := flags.String("sdk", "", "the folder of the SDKs")
	name := flags.String("name", "plugin", "the plugin's name")
	version := flags.String("version", "0.0.0", "the plugin's version")
	goos := flags.String("goos", "linux", "the operating system to build for")
	goarch := flags.String("goarch", "amd64", "the architecture to build for")
	tags := flags.String("tags", "", "the author's build tags")
	var modules locals
	requires := flags.String("requires", "", "modules that the author's module file requires")
	var wanted wishes
	flags.StringVar(&wanted.manifest, "manifest", "manifest.json", "what the manifest is called in refusals")
	flags.Var(&wanted, "inline", "what an entry of the manifest says, as function=true=field")
	flags.Var(&modules, "module", "a module whose source is on this machine, as path=folder; the plugin's own first")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	authors := strings.FieldsFunc(*tags, func(r rune) bool { return r == ',' || r == ' ' })
	reader := newReader(*folder, *goos, *goarch, authors)
	reader.requires = strings.FieldsFunc(*requires, func(r rune) bool { return r == ',' })
	answer, found, err := reader.scan(*folder, *sdk, modules)
	if err != nil {
		return nil, err
	}
	answer.Refusals = append(answer.Refusals, wanted.grant(found)...)
	all := append(append([]string{}, authors...), answer.Tags...)
	answer.Needs, answer.Sums, err = thirdParties(answer.Modules, answer.Imports, *goos, *goarch, all)
	if err != nil {
		return nil, err
	}
	if answer.newerKin {
		raise(answer.Needs)
	}
	answer.Tags = all
	answer.fill()
	answer.Glue, answer.Note = glueSource(*name, *version, found), noteSource(*name, *version, found)
	return answer, nil
}

func (r *reader) scan(folder, sdk string, modules locals) (*scanned, offer, error) {
	refusedNames, err := readRefused(sdk)
	if err != nil {
		return nil, offer{}, err
	}
	ours, err := embeddedModules(sdk)
	if err != nil {
		return nil, offer{}, err
	}
	modules = modules.without(ours)
	r.own = modules
	tyks := packages{modules: ours, names: map[string]map[string]bool{}}
	plugin, err := r.read(folder)
	if err != nil {
		return nil, offer{}, err
	}
	found := r.offered(plugin)
	answer := &scanned{
		Functions: found.functions, Skipped: found.skipped, Refusals: found.refusals, Modules: ours,
	}
	all, queue, seen := []source{}, [][]source{plugin}, map[string]bool{}
	for len(queue) > 0 {
		sources := queue[0]
		queue = queue[1:]
		all = append(all, sources...)
		answer.Refusals = append(answer.Refusals, r.refused(sources, refusedNames, tyks)...)
		answer.Warnings = append(answer.Warnings, r.warned(sources)...)
		for _, path := range importsOf(sources) {
			below, isLocal := modules.folderOf(path)
			if seen[path] || !isLocal {
				continue
			}
			seen[path] = true
			if len(seen) > packagesMax {
				return nil, found, fmt.Errorf("expected at most %d packages of the plugin's own", packagesMax)
			}
			// A folder that is missing is Go's to tell.
			if sources, err := r.read(below); err == nil {
				queue = append(queue, sources)
			}
		}
	}
	answer.Imports, answer.Tags = importsOf(all), tagsFor(all, r.requires)
	answer.newerKin = isForNewerKin(all)
	if found.logs = contains(answer.Imports, logrusPath); found.logs {
		answer.Imports = append(answer.Imports, standardLogPath)
	}
	return answer, found, nil
}

// without leaves out what the SDK stands for: a copy of Tyk that lies here is not looked at.
func (l locals) without(ours []embedded) (kept locals) {
	for _, module := range l {
		stands := false
		for _, each := range ours {
			stands = stands || each.Path == module.path
		}
		if !stands {
			kept = append(kept, module)
		}
	}
	return kept
}

func (l locals) folderOf(path string) (string, bool) {
	for _, module := range l {
		if rest, ok := within(path, module.path); ok {
			return filepath.Join(module.folder, filepath.FromSlash(rest)), true
		}
	}
	return "", false
}

// fill leaves no list out of the JSON.
func (s *scanned) fill() {
	s.Functions, s.Skipped = append([]function{}, s.Functions...), append([]skipped{}, s.Skipped...)
	s.Refusals, s.Warnings = append([]finding{}, s.Refusals...), append([]finding{}, s.Warnings...)
	s.Needs = append([]requirement{}, s.Needs...)
}
