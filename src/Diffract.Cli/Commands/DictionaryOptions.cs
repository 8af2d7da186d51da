using System.CommandLine;
using Diffract.Crosscoders;
using Diffract.Latents;
using Diffract.Runs;

namespace Diffract.Cli.Commands;

/// <summary>The options by which loose verbs name a dictionary and the paired activations that it reads.</summary>
sealed class DictionaryOptions
{
    readonly Option<string> _crosscoder = new("--crosscoder") { Description = "Folder of a crosscoder or SAE in any published layout (diffract export --help lists them), or its name on the hub.", Required = true };
    readonly Option<string> _activations = new("--activations") { Description = "safetensors with x [N, 2, D], base and chat, or x.0 [N, D0] and x.1 [N, D1].", Required = true };
    readonly Option<string?> _code = new("--code") { Description = "base or chat: whose part of a decoupled code, or which model an SAE reads. Default: both parts; an SAE reads chat." };
    readonly Option<string?> _difference = new("--difference") { Description = "chat-base or base-chat: what an SAE on differences reads. Default: no difference." };
    readonly Option<string?> _scale = new("--input-scale") { Description = "For a dictionary trained on scaled activations: one factor, one for each model (0.21,0.19), auto (the square root of the width over their mean norm), or none. Default: none; of published crosscoders in the layout blocks, auto where that explains more." };
    readonly Option<bool> _unset = new("--allow-unset-threshold") { Description = "Go on with a BatchTopK dictionary that has no threshold, with a dense code. Default: refuse." };

    public DictionaryOptions(Command command)
    {
        foreach (Option option in (Option[])[_crosscoder, _activations, _code, _difference, _scale, _unset])
        {
            command.Options.Add(option);
        }
    }

    public LooseReading Of(ParseResult parse, IProgressSink progress, CancellationToken stop) => new()
    {
        Folder = Places.Dictionary(parse.GetValue(_crosscoder)!, progress, stop),
        Activations = parse.GetValue(_activations)!,
        InputScale = InputScale.Parse(parse.GetValue(_scale)),
        AllowUnsetThreshold = parse.GetValue(_unset),
        Code = parse.GetValue(_code),
        Difference = parse.GetValue(_difference),
    };
}
