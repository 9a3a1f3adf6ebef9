// Command gantry-tyk reads plugins written for Tyk and says how to build them for Gantry. gantry build
// runs it; nothing of a plugin runs in it, and nothing is written to the author's folder.
//
//	gantry-tyk scan -dir plugin -sdk sdk ...   what the plugin offers, what is refused, and the glue, as JSON
//	gantry-tyk proxy -sdk sdk -out folder      the SDK as a folder that Go downloads modules from
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gantry-tyk:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) == 0 {
		return fmt.Errorf("expected scan or proxy")
	}
	var answer any
	var err error
	switch arguments[0] {
	case "scan":
		answer, err = scanCommand(arguments[1:])
	case "proxy":
		answer, err = proxyCommand(arguments[1:])
	default:
		err = fmt.Errorf("expected scan or proxy, found %q", arguments[0])
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(answer)
}
