using System.CommandLine;
using Diffract.Evidence;

namespace Diffract.Cli.Commands;

/// <summary><c>diffract generate</c>: a chat model's own answers to the user turns of a chat file.</summary>
static class GenerateCommand
{
    public static Command Create()
    {
        Command command = new("generate", """
            Writes a chat model's own greedy answers to the user turns of a chat file, so that experiments run on what the model itself says.

            Loose files: diffract generate --model DIR --chats F.jsonl --out O.jsonl [--max-new-tokens N]
              A line of O is {"id", "turns", "truncated"}, with the label of its chat; assistant turns of F are replaced one after the other, system turns stay. An answer ends at the
              template's end of turn or the model's end ids. "truncated": the last answer ran into --max-new-tokens or --context, and the chat ends there. A chat that
              cannot be answered is left out, with a warning that says why. Ctrl-C stops between steps; the same call goes on after the last whole batch. O is a chat file: `intervene --chats` and `tokenize --chats` take it.
            """);
        Option<string> model = new("--model") { Description = "Checkpoint folder with tokenizer and chat template, or its name on the hub.", Required = true };
        Option<string> chats = new("--chats") { Description = "Chats in a file of any format (JSON lines, CSV, Parquet; .gz, .zst).", Required = true };
        Option<string> output = new("--out") { Description = "JSON lines to write.", Required = true };
        Option<int> most = new("--max-new-tokens") { Description = "Most tokens of an answer.", DefaultValueFactory = _ => 256 };
        Option<int?> context = new("--context") { Description = "Most tokens of a chat. Default: 1024, or what the model can read if that is less." };
        Option<int> batch = new("--batch") { Description = "Chats side by side; changes the speed only.", DefaultValueFactory = _ => 8 };
        Option<int?> turns = new("--turns") { Description = "Answer only so many user turns, from the first. Default: all." };
        Option<bool> fresh = new("--fresh") { Description = "Begin again where a stopped call left something. Default: go on." };
        foreach (Option option in (Option[])[model, chats, output, most, context, batch, turns, fresh])
        {
            command.Options.Add(option);
        }

        DataOptions data = new(command, texts: false, skips: false);
        ChatFormatOptions format = new(command);
        new CommonOptions().Run(command, (parse, backend, progress, stop) => LooseGeneration.Run(
            backend,
            progress,
            new GenerationSettings
            {
                Model = Places.Model(parse.GetValue(model)!, progress, stop),
                Chats = DataOptions.One("--chats", parse.GetValue(chats)!, progress, stop),
                Columns = data.Of(parse),
                Out = parse.GetValue(output)!,
                ChatFormat = format.Of(parse),
                MaxNewTokens = parse.GetValue(most),
                Context = parse.GetValue(context),
                Batch = parse.GetValue(batch),
                Turns = parse.GetValue(turns),
                Fresh = parse.GetValue(fresh),
            },
            stop));
        return command;
    }
}
