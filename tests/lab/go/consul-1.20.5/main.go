// The oldest Consul the lab can build: the agent alone.
//
// The whole 1.20.5 program does not compile against the module versions that can be had today (its login
// command does not), so this program takes the agent command, the version and nothing else.
package main

import (
	"fmt"
	"os"

	"github.com/hashicorp/consul/command/agent"
	"github.com/hashicorp/consul/command/cli"
	"github.com/hashicorp/consul/version"
	mcli "github.com/mitchellh/cli"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: consul agent [options] | consul version")
		os.Exit(2)
	}
	switch os.Args[1] {
	case "agent":
		ui := &cli.BasicUI{
			BasicUi: mcli.BasicUi{Reader: os.Stdin, Writer: os.Stdout, ErrorWriter: os.Stderr},
		}
		os.Exit(agent.New(ui).Run(os.Args[2:]))
	case "version":
		fmt.Println("Consul v" + version.GetHumanVersion())
	default:
		fmt.Fprintf(os.Stderr, "%q is not in this build: it has agent and version only\n", os.Args[1])
		os.Exit(2)
	}
}
