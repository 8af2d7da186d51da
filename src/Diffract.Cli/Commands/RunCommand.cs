using System.CommandLine;
using Diffract.Activations;
using Diffract.Activations.Caches;
using Diffract.Crosscoders;
using Diffract.Pipeline;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Cli.Commands;

/// <summary><c>diffract run</c>: the whole path on a pair of the user's own.</summary>
static class RunCommand
{
    public static Command Create()
    {
        Option<string?> baseModel = new("--base") { Description = "Folder of the base model's checkpoint, or its name on the hub: org/name[@revision]. Needed, unless there is --cache." };
        Option<string?> chatModel = new("--chat") { Description = "Folder of the chat model's checkpoint, or its name on the hub; its tokenizer and chat template are used. Needed, unless there is --cache." };
        Option<string[]> texts = new("--text") { Description = $"Documents: {DataOptions.Formats}. --text or --chats alone is enough.", AllowMultipleArgumentsPerToken = true };
        Option<string[]> chats = new("--chats") { Description = "Chats, from the same kinds of files; the shapes in which chats are published are known (docs/formats.md).", AllowMultipleArgumentsPerToken = true };
        Option<string[]> crosscoders = new("--crosscoder") { Description = "Folders of crosscoders to examine, or their names on the hub (org/name[/folder][@revision]): nothing is trained then.", AllowMultipleArgumentsPerToken = true };
        Option<string?> scale = new("--input-scale") { Description = "For a crosscoder trained on scaled activations: one factor, one for each model (0.21,0.19), auto (the square root of the width over their mean norm), or none. Default: none; of published crosscoders in the layout blocks, auto where that explains more." };
        Option<LayerPair?> layer = LayerOption.Of("Hooked block, counted from 0. Default: half the blocks, rounded down.");
        Option<long?> tokens = new("--tokens") { Description = "Most tokens to harvest, of all splits; 100,000 or more. Default: all that the files give." };
        Option<double?> hours = new("--hours") { Description = "Most hours to harvest, turned into tokens by a short measured probe. Default: no limit." };
        Option<string?> replace = new("--replace") { Description = "What the base model reads in place of ids that it lacks or handles badly, as ID=ID,ID=ID, or none; stored ids stay the originals. Default: 128006=1432,128007=827,128009=827 for a Llama 3.1 or 3.2 base without a chat template of its own, else none." };
        Option<int?> skipFirst = new("--skip-first") { Description = "So many positions at the beginning of each document are not stored, and no edit touches them. Default: 25 for Llama 3.x, 21 for Qwen2.5, else 0." };
        Option<string> storage = new("--storage") { Description = "How activations are stored: bf16, f32, or int8 (8 bits with a scale for each token and model; what that loses is measured and printed).", DefaultValueFactory = _ => "bf16" };
        Option<bool> stream = new("--stream") { Description = "Train on activations while they are made, with the same bits, and store only a part of those that are not trained on. Default: all are stored first." };
        Option<long> keep = new("--keep-tokens") { Description = "With --stream: tokens of each split but training that are stored, of documents and chats each.", DefaultValueFactory = _ => StreamedTraining.DefaultKeepTokens };
        Option<string> kind = new("--kind") { Description = "What to train: batchtopk, l1, jumprelu, or both (the first two).", DefaultValueFactory = _ => "batchtopk" };
        kind.AcceptOnlyFromAmong("batchtopk", "l1", "jumprelu", "both");
        Option<string> preset = new("--preset") { Description = "demo: sizes and schedules as shares of the run's own steps; paper: those of the paper, refused for a run too short.", DefaultValueFactory = _ => "demo" };
        preset.AcceptOnlyFromAmong("demo", "paper");
        Option<int> seed = new("--seed") { Description = "Decides splits, initialisations, order and resamples.", DefaultValueFactory = _ => 42 };
        Option<string[]> cache = new("--cache") { Description = "The caches of activations that another tool collected, base and chat (two folders layer_<n>_out): nothing is tokenised or harvested. --base and --chat may be left out then, with what needs them.", AllowMultipleArgumentsPerToken = true };
        Option<int?> bos = new("--bos") { Description = "With --cache: the id that begins each document, where there is no sequence_ranges.pt. Default: the chat model's tokenizer says it." };
        Option<string?> output = new("--out") { Description = "Run folder. Default: runs/<name of the chat folder>; needed with --cache." };
        Option<bool> fresh = new("--fresh") { Description = "Throw away what an earlier run made there. Default: go on where it stopped." };
        Option<bool> unset = new("--allow-unset-threshold") { Description = "Examine a BatchTopK crosscoder without an inference threshold, densely. Default: refuse." };
        Option<double?> memory = CommonOptions.Memory();
        Command command = new("run", "From two checkpoints and text to a report of what changed; stops with Ctrl-C, goes on when called again.")
        {
            baseModel, chatModel, texts, chats, cache, bos, crosscoders, scale, layer, tokens, hours, skipFirst, replace, storage, stream, keep, kind, preset, seed, output, fresh, unset, memory,
        };
        DataOptions data = new(command, texts: true, skips: true);
        ChatFormatOptions format = new(command);
        new CommonOptions().Run(command, (parse, backend, progress, stop) =>
        {
            CacheSettings? cached = Cache(parse);
            PipelineSettings settings = new()
            {
                BaseModel = Model(baseModel) ?? "",
                ChatModel = Model(chatModel) ?? "",
                Texts = Places.Data(parse.GetValue(texts), parse.GetValue(tokens), progress, stop),
                Chats = Places.Data(parse.GetValue(chats), parse.GetValue(tokens), progress, stop),
                Columns = data.Of(parse),
                MostSkipped = data.MostSkipped(parse),
                ChatFormat = format.Of(parse),
                Crosscoders = [.. (parse.GetValue(crosscoders) ?? []).Select(c => Places.Dictionary(c, progress, stop))],
                InputScale = InputScale.Parse(parse.GetValue(scale)),
                Layer = parse.GetValue(layer),
                MaxTokens = parse.GetValue(tokens),
                Hours = parse.GetValue(hours),
                SkipFirst = parse.GetValue(skipFirst),
                Replace = ReplacementMap.Parse(parse.GetValue(replace)),
                Storage = StorageKinds.Parse(parse.GetValue(storage)!),
                Stream = parse.GetValue(stream),
                KeepTokens = parse.GetValue(keep),
                Kinds = parse.GetValue(kind) switch
                {
                    "l1" => [CrosscoderKind.L1],
                    "jumprelu" => [CrosscoderKind.JumpReLU],
                    "both" => [CrosscoderKind.BatchTopK, CrosscoderKind.L1],
                    _ => [CrosscoderKind.BatchTopK],
                },
                Preset = parse.GetValue(preset)!,
                Seed = parse.GetValue(seed),
                AllowUnsetThreshold = parse.GetValue(unset),
            };
            StageContext Context(string folder) => new(RunFolder.Create(folder), backend, progress, parse.GetValue(fresh), stop) { Memory = MemoryBudget.Of(parse.GetValue(memory)) };
            if (cached is not null)
            {
                cached = cached with { BaseModel = settings.BaseModel.Length > 0 ? settings.BaseModel : null, ChatModel = settings.ChatModel.Length > 0 ? settings.ChatModel : null };
                ConsoleProgress.Show(MainPath.RunFromCache(Context(parse.GetValue(output)!), settings, cached));
                return;
            }

            string folder = parse.GetValue(output) ?? Path.Combine("runs", Path.GetFileName(Path.TrimEndingDirectorySeparator(parse.GetValue(chatModel)!)));
            ConsoleProgress.Show(MainPath.Run(Context(folder), settings));

            string? Model(Option<string?> option) => parse.GetValue(option) is { } name ? Places.Model(name, progress, stop) : null;
        });
        return command;

        CacheSettings? Cache(ParseResult parse)
        {
            string[] from = parse.GetValue(cache) ?? [];
            if (from.Length == 0)
            {
                return parse.GetValue(baseModel) is null || parse.GetValue(chatModel) is null ? throw DiffractException.Argument("a run needs --base and --chat, two checkpoints, or --cache with what was harvested from them; see `diffract run --help`")
                    : parse.GetValue(bos) is not null ? throw DiffractException.Argument("--bos belongs to --cache; a tokenizer knows its own")
                    : null;
            }

            Option[] others = [texts, chats, tokens, hours, skipFirst, replace, storage, stream, keep];
            return from.Length != 2 ? throw DiffractException.Argument($"--cache is given {from.Length} folders, wanted the base model's cache and the chat model's")
                : others.FirstOrDefault(o => parse.GetResult(o) is { Implicit: false }) is { } other ? throw DiffractException.Argument($"{other.Name} does not go with --cache, whose tokens are there already")
                : parse.GetValue(output) is null ? throw DiffractException.Argument("--cache needs --out, the run folder to make")
                : parse.GetValue(layer) is { IsSame: false } pair ? throw DiffractException.Argument($"--layer {pair} does not go with --cache, whose two folders are of one layer; wanted one number")
                : new CacheSettings { BaseCache = from[0], ChatCache = from[1], Layer = parse.GetValue(layer)?.Chat, Bos = parse.GetValue(bos), Seed = parse.GetValue(seed) };
        }
    }
}
