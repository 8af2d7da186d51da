using System.Globalization;
using System.Text.Json.Nodes;
using Diffract.Activations;
using Diffract.Formats.Hub;
using Diffract.Runs;
using Diffract.Tokens;
using static Diffract.Reports.ReportNumbers;

namespace Diffract.Reports;

/// <summary>Section 9: what the numbers rest on, what was left out, how to make the run again.</summary>
sealed class TrustReader(RunFolder run, TokenStore tokens, LayerPair layer, IReadOnlyList<string> names, IReadOnlyList<(string Folder, StageManifest Manifest)> stages)
{
    public ReportTrust Read(IReadOnlyList<ReportCrosscoder> crosscoders)
        => new(
            Facts(crosscoders),
            [.. stages.Select(s => new ReportStageRow(s.Folder, s.Manifest.Fingerprint(), s.Manifest.Finished, s.Manifest.Seconds, s.Manifest.Version, s.Manifest.Backend))],
            Commands(), Skipped(crosscoders), Limits(crosscoders), References);

    static IReadOnlyList<string> References { get; } =
    [
        "Minder, Dumas et al.: Overcoming Sparsity Artifacts in Crosscoders to Interpret Chat-Tuning. arXiv 2504.02922.",
        "Lindsey et al.: Sparse Crosscoders for Cross-Layer Features and Model Diffing. Transformer Circuits, 2024.",
        "Bussmann et al.: BatchTopK Sparse Autoencoders. arXiv 2412.06410.",
    ];

    List<ReportFact> Facts(IReadOnlyList<ReportCrosscoder> crosscoders)
    {
        List<ReportFact> facts =
        [
            new("program", "Diffract " + string.Join(", ", stages.Select(s => s.Manifest.Version).Distinct(StringComparer.Ordinal))),
            new("kernels", string.Join("; ", stages.Select(s => s.Manifest.Backend).Where(b => b.Length > 0).Distinct(StringComparer.Ordinal))),
            new("time", $"{Count((long)Math.Round(stages.Sum(s => s.Manifest.Seconds)))} s of work in {Counted(stages.Count, "stage")}"),
            new("seeds", string.Join(", ", [$"splits {tokens.Seed}", .. crosscoders.Where(c => c.Settings.Seed is not null).Select(c => $"{c.Name} {c.Settings.Seed}")])),
            new("context", $"documents cut after {Counted(tokens.Context, "token")}"),
            new("skipped", tokens.OwnTokens || tokens.SkipFirst == 0 ? "" : $"the first {Counted(tokens.SkipFirst, "position")} of each document: {Count(tokens.Rows)} of {Counted(tokens.Tokens, "token")} are stored"),
            new("tokens", !tokens.OwnTokens ? "" : $"each model reads its own; stored where both have read the same text, {Percent((double)tokens.Rows / tokens.Tokens)} of the chat model's{(tokens.SkipFirst == 0 ? "" : $", without the first {Counted(tokens.SkipFirst, "position")} of either")}"),
            new("replaced", tokens.Replace.IsEmpty ? "" : $"the base model reads other ids in place of some: {tokens.Replace}"),
            new("stored as", Stored()),
            .. Streamed(),
            .. InputScales(),
            .. Caches(),
            new("base model", Checkpoint("base", tokens.BaseModel)),
            new("chat model", Checkpoint("chat", tokens.ChatModel)),
        ];
        foreach (string source in (string[])["text", "chats"])
        {
            facts.AddRange(Files(source).Select(f => new ReportFact(source, $"{Path.GetFileName(f.Text("file") ?? "")}, {Count(f.Integer("bytes") ?? 0)} bytes, XXH128 {f.Text("xxh128")}")));
        }

        facts.RemoveAll(f => f.Value.Length == 0);
        return facts;
    }

    /// <summary>How the activations were rounded, and what is left of their variance.</summary>
    string Stored()
        => Stage($"activations/{layer.FolderName}") is { Facts: var facts, Settings: var settings } && facts["varianceKept"] is JsonArray
            ? $"{settings.Text("storage")}, which keeps {List([.. facts.Numbers("varianceKept").Select((k, m) => FormattableString.Invariant($"{100 * k:F5}% of the {(m == 0 ? "base" : "chat")} model's variance"))])}"
            : "";

    /// <summary>Crosscoders whose training activations are not there to be looked at again.</summary>
    IEnumerable<ReportFact> Streamed()
        => from name in names
           let facts = Stage("crosscoders/" + name)?.Facts
           where facts.Text("streamed") == "true"
           select new ReportFact(
               "streamed",
               $"{name}: trained on activations that were made on the way and are not stored, {Count(facts.Integer("distinctTokensSeen") ?? 0)} distinct tokens; of the other splits the first {Counted(KeepTokens ?? 0, "token")} of documents and of chats are stored, and later stages read no more");

    /// <summary>Factors that were put before the encoder of a crosscoder that somebody else trained.</summary>
    IEnumerable<ReportFact> InputScales()
        => from name in names
           let facts = Stage("crosscoders/" + name)?.Facts
           where facts?["inputScale"] is not null
           select new ReportFact("input scale", string.Create(
               CultureInfo.InvariantCulture,
               $"{name}: {string.Join(" and ", facts.Numbers("inputScale").Select(s => s.ToString("G5", CultureInfo.InvariantCulture)))}{(facts.Text("inputScaleEstimated") == "true" ? ", estimated" : "")}; variance explained {facts.Number("fveScaled"):F3} with and {facts.Number("fveUnscaled"):F3} without"));

    /// <summary>Where the activations lie that somebody else collected.</summary>
    IEnumerable<ReportFact> Caches()
    {
        if (Stage($"activations/{layer.FolderName}") is not { } stage || stage.Facts["cache"] is not JsonObject places)
        {
            yield break;
        }

        foreach (string role in (string[])["base", "chat"])
        {
            yield return new ReportFact($"{role} cache", $"{(places[role] as JsonObject)?.Text("folder")}, {stage.Settings.Text("storage")}, read in place");
        }

        yield return new ReportFact("documents", $"parted by {tokens.Manifest.Facts.Text("documentsBy")}; mean and variance {stage.Facts.Text("statistics")}");
        if (stage.Facts.Numbers("modelsExplain") is [var b, var c])
        {
            yield return new ReportFact("models checked", FormattableString.Invariant($"on some documents they explain {100 * b:F3}% (base) and {100 * c:F3}% (chat) of the cache's variance"));
        }
    }

    string Checkpoint(string role, string folder)
        => (tokens.Manifest.Settings[role] as JsonObject)?.Text("checkpoint") is "" ? $"{HubName.Of(folder)}, not given" : $"{HubName.Of(folder)}, XXH128 {(tokens.Manifest.Settings[role] as JsonObject)?.Text("checkpoint")}";

    IEnumerable<JsonObject> Files(string source) => tokens.Manifest.Settings[source] is JsonArray files ? files.OfType<JsonObject>() : [];

    List<string> Commands()
    {
        string folder = Quote(run.Root);
        JsonObject t = tokens.Manifest.Settings;
        List<string> commands = Stage($"activations/{layer.FolderName}")?.Facts["cache"] is JsonObject places ?
        [
            $"diffract activations {folder} --cache {Quote((places["base"] as JsonObject)?.Text("folder") ?? "")} {Quote((places["chat"] as JsonObject)?.Text("folder") ?? "")}{(tokens.Models == ModelsKnown.Both ? $" --base {Quote(tokens.BaseModel)}" : "")}{(tokens.Models == ModelsKnown.Nothing ? "" : $" --chat {Quote(tokens.ChatModel)}")} --layer {layer} --seed {tokens.Seed}",
        ]
        :
        [
            $"diffract tokenize {folder} --base {Quote(tokens.BaseModel)} --chat {Quote(tokens.ChatModel)}{Sources("text")}{Sources("chats")}{Given("--tokens", t.Text("maxTokens"))} --context {tokens.Context} --replace {tokens.Replace}{Given("--skip-first", tokens.Manifest.Settings.Text("skipFirst") ?? "0")} --seed {tokens.Seed}",
        ];
        string storage = Given("--storage", Stage($"activations/{layer.FolderName}")?.Settings.Text("storage")), stream = KeepTokens is { } kept ? $" --stream --keep-tokens {kept}{storage}" : "";
        if (KeepTokens is null && tokens.Manifest.Stage != "activations")
        {
            commands.Add($"diffract harvest {folder} --layer {layer}{storage}");
        }

        foreach (string name in names)
        {
            StageManifest made = Stage("crosscoders/" + name)!;
            if (made.Settings.Integer("steps") is not null)
            {
                commands.Add($"diffract train {folder} --layer {layer} --name {name}{string.Concat(TrainOptions.Select(o => Given(o.Option, made.Settings.Text(o.Key))))}{(made.Settings.Text("targetRms") is { } rms ? $" --normalise --target-rms {rms}" : "")}{stream}");
            }

            commands.AddRange(((string[])["latents", "scaling", "evidence"]).Where(s => Stage($"{s}/{name}") is not null).Select(s => $"diffract {(s == "scaling" ? "scale" : s)} {folder} --name {name}"));
        }

        return [.. commands, $"diffract report {folder} --layer {layer}"];
    }

    static readonly (string Option, string Key)[] TrainOptions =
    [
        ("--preset", "preset"), ("--kind", "kind"), ("--latents", "latents"), ("--k", "k"), ("--mu", "mu"), ("--steps", "steps"), ("--batch", "batch"), ("--lr", "learningRate"), ("--warmup", "warmup"), ("--decay-start", "decayStart"),
        ("--loss", "loss"), ("--clip", "clip"), ("--k-aux", "kAux"), ("--aux-alpha", "auxAlpha"), ("--dead-after", "deadAfter"), ("--threshold-from", "thresholdFrom"), ("--threshold-beta", "thresholdBeta"),
        ("--code-norm", "codeNorm"), ("--seed", "seed"), ("--order-seed", "orderSeed"), ("--window", "shuffleWindow"),
    ];

    /// <summary>Of a streamed run, the size of the smaller store.</summary>
    long? KeepTokens => Stage($"activations/{layer.FolderName}")?.Settings.Integer(ActivationStore.KeepTokensSetting);

    StageManifest? Stage(string folder) => stages.FirstOrDefault(s => s.Folder == folder).Manifest;

    string Sources(string source) => string.Concat(Files(source).Select(f => $" --{source} {Quote(f.Text("file") ?? "")}"));

    static string Given(string option, string? value) => value is null or "null" ? "" : $" {option} {value.ToLowerInvariant()}";

    static string Quote(string path) => path.All(c => char.IsAsciiLetterOrDigit(c) || "/._-+=,:@%".Contains(c)) ? path : "'" + path.Replace("'", "'\\''", StringComparison.Ordinal) + "'";

    List<string> Skipped(IReadOnlyList<ReportCrosscoder> crosscoders)
    {
        List<string> skipped = [];
        if (tokens.Models == ModelsKnown.Nothing && Stage($"activations/{layer.FolderName}")?.Facts["cache"] is not null)
        {
            skipped.Add("The run began from a cache of activations and token ids, without a tokenizer: what each token is, a user's, an assistant's or a template's, is not known, so rates by role, examples, interventions and behaviours are left out.");
        }
        else if (tokens.Documents.All(d => d.Source != TextSource.Chat))
        {
            skipped.Add("No chats were given: interventions, behaviours and rates by role of a chat need them.");
        }
        else if (tokens.Documents.All(d => d.Source != TextSource.Document))
        {
            skipped.Add("No documents were given: what both models do with plain text is not looked at.");
        }

        if (tokens.Manifest.Facts.Integer("unreadChats") is > 0 and long unread)
        {
            skipped.Add($"{Counted(unread, "document")} of the cache begin as chats but could not be read back as one: the roles of their tokens are unknown.");
        }

        PassedOver(skipped, "skippedDocuments", "documents", "document");
        PassedOver(skipped, "skippedChats", "chats", "chat");
        foreach (ReportCrosscoder c in crosscoders)
        {
            skipped.AddRange(c.Missing.OrderBy(m => m.Key, StringComparer.Ordinal).GroupBy(m => m.Value).Select(g => $"{ReportWords.Label(c)}: no {List([.. g.Select(m => Section(m.Key))])}, because {g.Key}."));
            if (c.Settings.Kind is "BatchTopK" or "SAE" && double.IsNaN(c.Settings.Threshold))
            {
                skipped.Add($"{ReportWords.Label(c)} has no selection threshold: its codes were dense.");
            }
        }

        return skipped;
    }

    void PassedOver(List<string> skipped, string fact, string kind, string word)
    {
        if (tokens.Manifest.Facts.Integer(fact) is > 0 and long passed)
        {
            string reasons = tokens.Manifest.Facts["skipped"] is JsonObject all && all[kind] is JsonObject counts ? string.Join("; ", counts.Take(5).Select(r => $"{r.Value} {r.Key}")) : "";
            skipped.Add($"{Counted(passed, word)} could not be used and {(passed == 1 ? "was" : "were")} passed over{(reasons.Length > 0 ? $" ({reasons})" : "")}; tokens/skipped.jsonl lists them.");
        }
    }

    static string Section(string key) => key switch
    {
        "norms" => "norms",
        "scaling" => "Latent Scaling",
        "effects" => "interventions",
        "cards" => "examples",
        "behaviours" => "behaviours",
        "latents" => "table of latents",
        _ => key,
    };

    static List<string> Limits(IReadOnlyList<ReportCrosscoder> crosscoders)
    {
        List<string> unexplained = [.. crosscoders.Where(c => double.IsFinite(c.Settings.FvePooled)).Select(c => $"{Percent(1 - c.Settings.FvePooled)} in {ReportWords.Label(c)}")];
        string rest = unexplained.Count == 0 ? "" : $" ({List(unexplained)} of the variance)";
        int undecided = crosscoders.Sum(c => c.Scaling?.Verdicts.Undecided ?? 0);
        return
        [
            $"A crosscoder explains a part of the activations; what fine-tuning changed may lie in the rest{rest}, where no latent can show it.",
            "Each crosscoder is one training: another seed or size finds other latents. The intervals cover text, not trainings.",
            "The thresholds 0.2 and 0.5 are those of [1]; a latent within a standard error or two of them could fall on either side.",
            "Examples show where a latent fires, not what it does; only section 4 changes anything inside the model.",
            "Edits act at one layer. What later layers can rebuild, or what other layers hold, is not measured.",
            "The best latent for a behaviour is the best of many, chosen on one half of the chats; shuffled labels pass through the same choice.",
            .. undecided == 0 ? (string[])[] : [$"{Counted(undecided, "chat-only latent")} fired too rarely to be judged; they count neither as found nor as refuted."],
        ];
    }
}
