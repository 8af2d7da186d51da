using System.Text.Json.Nodes;
using Diffract.Activations;
using Diffract.Formats.Hub;
using Diffract.Llms;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Reports;

/// <summary>Reads the stage folders of a run into a <see cref="RunReport"/>. What is missing is said; what is stale or damaged is refused with the command that mends it.</summary>
sealed class RunReader : IDisposable
{
    readonly RunFolder _run;
    readonly LayerPair _layer;
    readonly TokenStore _tokens;
    readonly ActivationStore _activations;
    readonly List<(string Folder, StageManifest Manifest)> _stages = [];

    RunReader(RunFolder run, LayerPair layer)
    {
        _run = run;
        _layer = layer;
        _tokens = TokenStore.Open(run);
        try
        {
            _activations = ActivationStore.Open(run, layer);
        }
        catch
        {
            _tokens.Dispose();
            throw;
        }

        _stages.Add(("tokens", _tokens.Manifest));
        _stages.Add((run.Relative(run.Activations(layer)), _activations.Manifest));
    }

    /// <param name="run">The run.</param>
    /// <param name="names">Crosscoders to show, in this order; none: all of the layer.</param>
    /// <param name="layer">The layer; null: that of the crosscoders, when they agree.</param>
    /// <returns>The report, and every stage folder that it was made from.</returns>
    public static (RunReport Report, IReadOnlyDictionary<string, string> Inputs) Read(RunFolder run, IReadOnlyList<string> names, LayerPair? layer)
    {
        (LayerPair at, IReadOnlyList<string> chosen) = Choose(run, names, layer);
        using RunReader reader = new(run, at);
        RunReport report = reader.Read(chosen);
        return (report, reader._stages.ToDictionary(s => s.Folder, s => s.Manifest.Fingerprint(), StringComparer.Ordinal));
    }

    public void Dispose()
    {
        _tokens.Dispose();
        _activations.Dispose();
    }

    static (LayerPair Layer, IReadOnlyList<string> Names) Choose(RunFolder run, IReadOnlyList<string> names, LayerPair? layer)
    {
        IReadOnlyList<string> there = run.Names("crosscoders");
        if (names.FirstOrDefault(n => !there.Contains(n)) is { } unknown)
        {
            throw DiffractException.Argument($"crosscoder {unknown} is not in {run.Root}; there are: {(there.Count == 0 ? "none" : string.Join(", ", there))}");
        }

        if (there.Count == 0)
        {
            throw new DiffractException($"{run.Root} has no finished crosscoder to report on; run `diffract train {run.Root}` first");
        }

        List<(string Name, LayerPair Layer)> layers = [.. (names.Count > 0 ? names : there).Select(n => (n, Layer(run, n)))];
        List<LayerPair> distinct = [.. layers.Select(l => l.Layer).Distinct().Order()];
        LayerPair at = layer ?? (distinct.Count == 1 ? distinct[0] : throw DiffractException.Argument(
            $"the crosscoders of {run.Root} are on the layers {string.Join(", ", distinct)}; a report is about one: choose it with --layer"));
        List<string> chosen = [.. layers.Where(l => l.Layer == at).Select(l => l.Name)];
        return chosen.Count > 0 && (names.Count == 0 || chosen.Count == names.Count) ? (at, chosen) : throw DiffractException.Argument(
            $"--layer {at} does not fit: {string.Join(", ", layers.Where(l => l.Layer != at).Select(l => $"{l.Name} is on layer {l.Layer}"))}");
    }

    static LayerPair Layer(RunFolder run, string name)
        => LayerPair.Of(StageManifest.TryLoad(run.Crosscoder(name))!.Settings["layer"])
            ?? throw new DiffractException($"crosscoders/{name} does not say its layer; run `diffract train {run.Root} --name {name} --fresh`");

    RunReport Read(IReadOnlyList<string> names)
    {
        bool chats = _tokens.Documents.Any(d => d.Source == TextSource.Chat && d.Split == Split.HeldOut);
        long scalingTokens = _tokens.Documents.Where(d => d.Split == Split.Scaling && _activations.Holds(d)).Sum(d => (long)d.Rows);
        List<ReportCrosscoder> crosscoders = [.. names.Select(n => new CrosscoderReader(_run, n, chats, _tokens.NoInterventions, _tokens.Models == ModelsKnown.Nothing && _activations.Cache is not null, scalingTokens, _stages).Read())];
        ReportComparison comparison = Comparison(crosscoders);
        string baseName = ModelName(_tokens.BaseModel), chatName = ModelName(_tokens.ChatModel);
        ReportAnswer answer = new(
            baseName, chatName, _layer, comparison.Checkpoints[^1].Blocks, _tokens.Rows,
            _stages.Max(s => s.Manifest.Finished) ?? "", "", []);
        ReportTrust trust = new TrustReader(_run, _tokens, _layer, names, _stages).Read(crosscoders);
        return RunReport.Tell($"{chatName} against {baseName}: what fine-tuning changed", answer, comparison, crosscoders, trust);
    }

    static string ModelName(string folder) => HubName.Of(folder);

    ReportComparison Comparison(IReadOnlyList<ReportCrosscoder> crosscoders)
    {
        (string Role, string Folder)[] models = [("base", _tokens.BaseModel), ("chat", _tokens.ChatModel)];
        List<ReportCheckpoint> checkpoints = [.. models.Select(m => Checkpoint(m.Role, m.Folder))];
        List<ReportText> texts =
        [
            .. _tokens.Documents.GroupBy(d => (d.Source, d.Split)).OrderBy(g => g.Key.Source).ThenBy(g => g.Key.Split)
                .Select(g => new ReportText(
                    g.Key.Source == TextSource.Chat ? "chats" : "documents", g.Key.Split switch { Split.Train => "training", Split.Scaling => "scaling", _ => "held out" },
                    g.Count(), g.Sum(d => (long)d.Rows))),
        ];
        return new ReportComparison(checkpoints, texts, Roles(), Models([.. models.Select(m => m.Role)]));
    }

    ReportCheckpoint Checkpoint(string role, string folder)
    {
        if (_activations.Cache is { } cache && _tokens.Models < (role == "chat" ? ModelsKnown.Tokenizer : ModelsKnown.Both))
        {
            return new ReportCheckpoint(role, ModelName(folder), "", "not given: the run began from a cache", 0, cache.Models[role == "base" ? 0 : 1].Width, 0);
        }

        string seal = _tokens.Manifest.Settings[role] is JsonObject recorded ? recorded.Text("checkpoint") ?? "" : "";
        try
        {
            LlmConfig config = LlmConfig.Load(folder);
            return new ReportCheckpoint(role, ModelName(folder), seal, config.Family, config.Layers, config.Width, config.Vocabulary);
        }
        catch (DiffractException)
        {
            // The run stands on its own: the checkpoints may have been moved since.
            return new ReportCheckpoint(role, ModelName(folder), seal, "folder not there any more", 0, 0, 0);
        }
    }

    List<ReportRole> Roles()
    {
        (TokenRole Role, string Name)[] roles =
            [(TokenRole.Plain, "plain text"), (TokenRole.User, "user"), (TokenRole.Assistant, "assistant"), (TokenRole.System, "system"), (TokenRole.Template, "template"), (TokenRole.Bos, "BOS")];
        long[] byFlags = new long[256];
        foreach (TokenDocument d in _tokens.Documents)
        {
            ReadOnlySpan<byte> flags = _tokens.Roles(d);
            foreach (int position in _tokens.Positions(d))
            {
                byFlags[flags[position]]++;
            }
        }

        long Of(TokenRole role) => byFlags.Where((_, flags) => (flags & (int)role) != 0).Sum();
        return [.. roles.Select(r => new ReportRole(r.Name, Of(r.Role), _tokens.Rows == 0 ? double.NaN : (double)Of(r.Role) / _tokens.Rows)).Where(r => r.Tokens > 0)];
    }

    List<ReportModel> Models(string[] names)
    {
        (double[] mean_E, double[] variance_E) = _activations.Statistics();
        IReadOnlyList<double> gamma = _stages.Select(s => s.Manifest.Facts.Numbers("gamma")).FirstOrDefault(g => g.Count == names.Length) ?? [];
        List<ReportModel> models = [];
        for (int m = 0; m < names.Length; m++)
        {
            double squares = 0;
            for (int c = _activations.ModelOffsets[m]; c < _activations.ModelOffsets[m + 1]; c++)
            {
                squares += (mean_E[c] * mean_E[c]) + variance_E[c];
            }

            models.Add(new ReportModel(names[m], _activations.Widths[m], Math.Sqrt(squares), m < gamma.Count ? gamma[m] : double.NaN, _activations.Rows));
        }

        return models;
    }
}
