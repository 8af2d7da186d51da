using System.CommandLine;
using Diffract.Crosscoders;
using Diffract.Evidence;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Cli.Commands;

/// <summary><c>diffract intervene</c>: the edits of the evidence stage on loose files.</summary>
static class InterveneCommand
{
    public static Command Create()
    {
        Command command = new("intervene", """
            Loose files: runs both models over chats, edits the activation after a block by a crosscoder's latents, lets the chat model go on, and compares its predictions with its own.

            Edits: none, all, error, template, base_model (no edit: the base model itself), and replace_NAME and add_NAME for each --latents NAME=I.json.
            Writes {edit: {subset: {kl: {mean, variance, count}, nll: {...}}}} for the subsets all, k_first and post_k_first of the answers' positions; population variance, nats.
            A run folder has the same under `diffract evidence`.
            """);
        Option<string> baseModel = new("--base") { Description = "Checkpoint folder of the base model, or its name on the hub.", Required = true };
        Option<string> chatModel = new("--chat") { Description = "Checkpoint folder of the chat model, or its name on the hub; its tokenizer and template read turns.", Required = true };
        Option<string> crosscoder = new("--crosscoder") { Description = "Crosscoder folder in any published layout (diffract export --help lists them).", Required = true };
        Option<LayerPair?> layer = LayerOption.Of("0-based block after which to edit.", required: true);
        Option<string> chats = new("--chats") { Description = "Chats in a file of any format (JSON lines, CSV, Parquet; .gz, .zst), or lines with ids and roles as `tokenize` writes them.", Required = true };
        Option<string[]> latents = new("--latents") { Description = "NAME=I.json, I.json a JSON array of latent indices; may be repeated. Default: none.", AllowMultipleArgumentsPerToken = true };
        Option<string?> scale = new("--input-scale") { Description = "For a crosscoder trained on scaled activations: one factor, one for each model (0.21,0.19), auto (the square root of the width over their mean norm), or none. Default: none; of published crosscoders in the layout blocks, auto where that explains more." };
        Option<int?> context = new("--context") { Description = "Chats are cut after so many tokens. Default: 1024, or what the models can read if that is less." };
        Option<string?> replace = new("--replace") { Description = "What the base model reads in place of ids that it lacks or handles badly, as ID=ID,ID=ID, or none; stored ids stay the originals. Default: 128006=1432,128007=827,128009=827 for a Llama 3.1 or 3.2 base without a chat template of its own, else none." };
        Option<int?> skipFirst = new("--skip-first") { Description = "So many positions at the beginning of each chat keep the chat model's own activations. Default: 25 for Llama 3.x, 21 for Qwen2.5, else 0." };
        Option<string?> positions = new("--positions") { Description = "Also write every position to this safetensors file: <chat>.kl.<edit> [T] and <chat>.nll.<edit> [T-1], float64. Default: not written." };
        Option<bool> unset = new("--allow-unset-threshold") { Description = "Run a BatchTopK crosscoder that has no threshold yet, with every positive latent active. Default: refuse." };
        Option<string> output = new("--out") { Description = "JSON file to write.", Required = true };
        Option<double?> memory = CommonOptions.Memory();
        foreach (Option option in (Option[])[baseModel, chatModel, crosscoder, layer, chats, latents, scale, context, skipFirst, replace, positions, unset, output, memory])
        {
            command.Options.Add(option);
        }

        DataOptions data = new(command, texts: false, skips: false);
        ChatFormatOptions format = new(command);
        new CommonOptions().Run(command, (parse, backend, progress, stop) => LooseIntervention.Run(
            backend,
            progress,
            new InterveneSettings
            {
                BaseModel = Places.Model(parse.GetValue(baseModel)!, progress, stop),
                ChatModel = Places.Model(parse.GetValue(chatModel)!, progress, stop),
                Crosscoder = Places.Dictionary(parse.GetValue(crosscoder)!, progress, stop),
                Layer = parse.GetValue(layer)!.Value,
                Chats = DataOptions.One("--chats", parse.GetValue(chats)!, progress, stop),
                Columns = data.Of(parse),
                ChatFormat = format.Of(parse),
                Latents = [.. (parse.GetValue(latents) ?? []).Select(NameAndFile)],
                InputScale = InputScale.Parse(parse.GetValue(scale)),
                Context = parse.GetValue(context),
                SkipFirst = parse.GetValue(skipFirst),
                Replace = ReplacementMap.Parse(parse.GetValue(replace)),
                Positions = parse.GetValue(positions),
                AllowUnsetThreshold = parse.GetValue(unset),
                Out = parse.GetValue(output)!,
                Memory = MemoryBudget.Of(parse.GetValue(memory)),
            },
            stop));
        return command;
    }

    static (string Name, string File) NameAndFile(string given)
    {
        int at = given.IndexOf('=', StringComparison.Ordinal);
        return at > 0 && at < given.Length - 1
            ? (given[..at], given[(at + 1)..])
            : throw DiffractException.Argument($"--latents {given} is not NAME=FILE, for instance best=best.json");
    }
}
