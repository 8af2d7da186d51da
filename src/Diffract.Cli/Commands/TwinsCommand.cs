using System.CommandLine;
using Diffract.Latents;

namespace Diffract.Cli.Commands;

/// <summary><c>diffract twins</c>: chat-only and base-only latents of one direction, and whether they fire together.</summary>
static class TwinsCommand
{
    public static Command Create()
    {
        Command command = new("twins", """
            Looks for twins among a crosscoder's latents: a chat-only and a base-only one that write nearly the same direction, and counts on which tokens they fire.

            Loose files: diffract twins --crosscoder DIR --activations X.safetensors [--pairs P.json] --out O.json
              Pairs are [[chat-only, base-only], …]; without --pairs those whose chat and base decoder rows have a cosine above 0.9, one to one, the largest first. O: rel (activations
              over each latent's own maximum) and abs (over the larger of the pair's two), for each pair its histogram, 5 x 5 tokens by bucket (edges 1e-6, 0.1, 0.4, 0.7), and
              divergence: of the tokens on which either is above 0.4, the share on which the other is at most 0.1. control: the same members in other pairs.
            """);
        DictionaryOptions dictionary = new(command);
        Option<string?> pairs = new("--pairs") { Description = "JSON array of pairs. Default: those of the weights." };
        Option<string?> maxima = new("--maxima") { Description = "safetensors with max_activation [L], scaled (code times code norm). Default: the maxima over the activations." };
        Option<int> seed = new("--seed") { Description = "Of the control's pairs.", DefaultValueFactory = _ => 42 };
        Option<string> output = new("--out") { Description = "JSON file to write.", Required = true };
        foreach (Option option in (Option[])[pairs, maxima, seed, output])
        {
            command.Options.Add(option);
        }

        new CommonOptions().Run(command, (parse, backend, progress, stop) => LooseTwins.Run(
            backend, progress, dictionary.Of(parse, progress, stop), parse.GetValue(pairs), parse.GetValue(maxima), parse.GetValue(seed), parse.GetValue(output)!, stop));
        return command;
    }
}
