using System.CommandLine;
using Diffract.Activations.Caches;
using Diffract.Runs;

namespace Diffract.Cli.Commands;

/// <summary><c>diffract activations</c>: the reference implementation's caches of activations, read and written.</summary>
static class ActivationsCommand
{
    public static Command Create()
    {
        Command command = new("activations", """
            Begins a run from the caches that the reference implementation's collector made, converts them, or writes them from a run.

            diffract activations RUN --cache BASE_DIR CHAT_DIR [--base DIR --chat DIR]: tokens/ from the caches' ids, activations/<layer>/ read in place: the caches stay where they are, and one that changes later
              is refused. Documents are those of sequence_ranges.pt, else they begin at each BOS. With --chat roles are found again from the ids; with both models edits can be made.
            Loose files: diffract activations --cache BASE_DIR CHAT_DIR --out X.safetensors
              X: x [N, M, D] float32 (of models of different widths x.0 [N, D0], x.1 [N, D1]), tokens [N] int64. Each DIR a folder layer_<n>_out; tokens.pt in it or beside it.
            diffract activations --store RUN --to-cache BASE_DIR CHAT_DIR: the caches of a run, as the reference implementation's tools read them. Each DIR a folder layer_<n>_out that is empty or not there.
            """);
        Argument<string?> run = new("run") { Description = "Run folder to begin.", Arity = ArgumentArity.ZeroOrOne };
        Option<string[]> cache = new("--cache") { Description = "The base model's cache and the chat model's: two folders layer_<n>_out.", AllowMultipleArgumentsPerToken = true };
        Option<string?> output = new("--out") { Description = "Loose file to write." };
        Option<string?> store = new("--store") { Description = "Run whose activations are written as caches." };
        Option<string[]> toCache = new("--to-cache") { Description = "Folders layer_<n>_out to write: for the base model and for the chat model.", AllowMultipleArgumentsPerToken = true };
        Option<int?> layer = new("--layer") { Description = "Layer, from 0. Default: the one that the folders are called by, or the run's only one." };
        Option<string?> baseModel = new("--base") { Description = "Folder of the base model's checkpoint, or its name on the hub. Default: none, and no edit can be made." };
        Option<string?> chatModel = new("--chat") { Description = "Folder of the chat model's checkpoint, or its name on the hub; without --base its tokenizer and chat template are enough. Default: none, and ids have neither text nor roles." };
        Option<int?> bos = new("--bos") { Description = "The id that begins each document, where there is no sequence_ranges.pt. Default: the chat model's tokenizer says it." };
        Option<int> seed = new("--seed") { Description = "Decides the splits.", DefaultValueFactory = _ => 42 };
        Option<bool> fresh = new("--fresh") { Description = "Throw away the tokens and the activations of this layer that are there." };
        command.Arguments.Add(run);
        foreach (Option option in (Option[])[cache, output, store, toCache, layer, baseModel, chatModel, bos, seed, fresh])
        {
            command.Options.Add(option);
        }

        new CommonOptions().Run(command, (parse, backend, progress, stop) =>
        {
            string[]? from = parse.GetValue(cache), to = parse.GetValue(toCache);
            string? folder = parse.GetValue(run), file = parse.GetValue(output), made = parse.GetValue(store);
            switch (folder, file, made)
            {
                case ({ } root, null, null) when from is [var a, var b] && to is null or []:
                    CacheSettings settings = new()
                    {
                        BaseCache = a,
                        ChatCache = b,
                        BaseModel = parse.GetValue(baseModel) is { } m ? Places.Model(m, progress, stop) : null,
                        ChatModel = parse.GetValue(chatModel) is { } c ? Places.Model(c, progress, stop) : null,
                        Layer = parse.GetValue(layer),
                        Bos = parse.GetValue(bos),
                        Seed = parse.GetValue(seed),
                    };
                    CacheStage.Look(settings);
                    CacheStage.Run(new StageContext(RunFolder.Create(root), backend, progress, parse.GetValue(fresh), stop), settings);
                    break;
                case (null, { } path, null) when from is [var a, var b] && to is null or []:
                    (long rows, bool tokens) = LooseCache.Convert(a, b, path, progress, stop);
                    progress.Done("activations", FormattableString.Invariant($"{rows:N0} rows{(tokens ? "" : " without tokens")} in {path}"));
                    break;
                case (null, null, { } source) when to is [var a, var b] && from is null or []:
                    (LayerPair at, long written) = CacheWriter.Write(RunFolder.Open(source), parse.GetValue(layer), a, b, progress, stop);
                    progress.Done("activations", FormattableString.Invariant($"{written:N0} rows of layer {at} in {a} and {b}"));
                    break;
                default:
                    throw DiffractException.Argument("wanted a run folder with --cache BASE_DIR CHAT_DIR, or --cache BASE_DIR CHAT_DIR --out FILE, or --store RUN --to-cache BASE_DIR CHAT_DIR; see `diffract activations --help`");
            }
        });
        return command;
    }
}
