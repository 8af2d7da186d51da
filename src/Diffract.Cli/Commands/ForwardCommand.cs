using System.CommandLine;
using System.Globalization;
using Diffract.Llms;
using Diffract.Runs;

namespace Diffract.Cli.Commands;

/// <summary><c>diffract forward</c>: a model's residual streams, logits and greedy continuations for a file of ids.</summary>
static class ForwardCommand
{
    public static Command Create()
    {
        Command command = new("forward", """
            Runs a model over token ids and writes what it computes.

            Loose files: diffract forward --model DIR --ids O.jsonl --out X.safetensors [--blocks 0,3] [--logits] [--greedy N]
              For input line r (from 0): r.block_i [T, D], the residual stream after block i; r.logits [T, V]; r.greedy [N]. DIR needs config.json and weights.
            """);
        Option<string> model = new("--model") { Description = "Loose files: checkpoint folder with config.json and safetensors, or its name on the hub.", Required = true };
        Option<string> ids = new("--ids") { Description = "Loose files: JSON lines with ids, as tokenize writes them.", Required = true };
        Option<string> output = new("--out") { Description = "Loose files: safetensors file to write.", Required = true };
        Option<string?> blocks = new("--blocks") { Description = "Numbers of blocks, with commas. Default: all, or none when --logits or --greedy is given." };
        Option<bool> logits = new("--logits") { Description = "Write logits at every position. Default: do not." };
        Option<int> greedy = new("--greedy") { Description = "Append so many ids, the likeliest each time; end tokens do not stop it.", DefaultValueFactory = _ => 0 };
        foreach (Option option in (Option[])[model, ids, output, blocks, logits, greedy])
        {
            command.Options.Add(option);
        }

        new CommonOptions().Run(command, (parse, backend, progress, stop) =>
        {
            (int rows, long tokens) = ForwardFile.Run(backend, new ForwardRequest
            {
                Model = Places.Model(parse.GetValue(model)!, progress, stop),
                Ids = parse.GetValue(ids)!,
                Out = parse.GetValue(output)!,
                Blocks = Numbers(parse.GetValue(blocks)),
                Logits = parse.GetValue(logits),
                Greedy = parse.GetValue(greedy),
            }, progress, stop);
            progress.Done("forward", $"{rows} lines, {tokens} tokens in {parse.GetValue(output)}");
        });
        return command;
    }

    static int[]? Numbers(string? text) => text?.Split(',', StringSplitOptions.TrimEntries).Select(part => int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int number)
        ? number
        : throw DiffractException.Argument($"--blocks {text} is not a list of numbers; wanted for example 0,3")).ToArray();
}
