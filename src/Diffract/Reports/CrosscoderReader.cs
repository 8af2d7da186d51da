using System.Text.Json.Nodes;
using Diffract.Crosscoders;
using Diffract.Evidence;
using Diffract.Latents;
using Diffract.Runs;
using Diffract.Scaling;
using Diffract.Training;

namespace Diffract.Reports;

/// <summary>Reads what a run knows about one crosscoder.</summary>
/// <param name="run">The run.</param>
/// <param name="name">The crosscoder.</param>
/// <param name="chats">Whether the run has held-out chats.</param>
/// <param name="noInterventions">Why nothing could be edited inside the models; null where it could.</param>
/// <param name="noTexts">Whether there was no tokenizer to show texts with.</param>
/// <param name="scalingTokens">Tokens of the scaling split.</param>
/// <param name="stages">Gets every stage folder that was read.</param>
sealed class CrosscoderReader(RunFolder run, string name, bool chats, string? noInterventions, bool noTexts, long scalingTokens, List<(string Folder, StageManifest Manifest)> stages)
{
    readonly Dictionary<string, string> _missing = new(StringComparer.Ordinal);

    public ReportCrosscoder Read()
    {
        StageManifest made = Use(run.Crosscoder(name), Provenance.Require(run, run.Crosscoder(name), $"diffract train {run.Root} --name {name}"));
        LatentTable? latents = Has(run.Latents(name)) ? LatentTable.Open(run, name) : null;
        ScalingTable? scaling = Has(run.Scaling(name)) ? ScalingTable.Open(run, name) : null;

        // Begun and not finished is no reason to report without it: that is refused with what is missing.
        EvidenceFolder? evidence = Has(run.Evidence(name)) || UnitFolder.Begun(run.Evidence(name)) ? EvidenceFolder.Open(run, name) : null;
        UseIf(run.Latents(name), latents?.Manifest);
        UseIf(run.Scaling(name), scaling?.Manifest);
        UseIf(run.Evidence(name), evidence?.Manifest);
        bool common = CommonSpace.Of(run, ScanInputs.LayerOf(made, name));
        if (!common)
        {
            _missing["scaling"] = CommonSpace.NoScaling;
        }

        Explain(latents is not null, "latents", "norms", "latents", "cards");
        Explain(scaling is not null, "scale", "scaling");
        if (evidence is null && noTexts)
        {
            foreach (string section in (string[])["effects", "behaviours", "cards"])
            {
                _missing.TryAdd(section, "the run began from a cache of token ids, without a tokenizer or the models");
            }
        }

        Explain(evidence is not null, "evidence", "effects", "behaviours", "cards");

        string log = Path.Combine(run.Crosscoder(name), TrainingLog.FileName);
        bool loaded = !File.Exists(log);
        List<ReportLatent> rows = latents is null ? [] : Rows(latents, scaling, evidence);
        List<ReportSeries>? training = loaded ? null : TrainingLogReader.Read(log, made.Settings.Integer("latents") ?? rows.Count);
        if (training is not { Count: > 0 })
        {
            _missing["training"] = loaded ? "it was brought along, not trained here" : "its log is empty";
        }

        return new ReportCrosscoder(
            name,
            Settings(made, loaded, rows.Count),
            latents is null ? null : ReportNorms.From(rows),
            scaling is null || latents is null ? null : ReportScaling.From(rows, scaling.Manifest.Facts.Integer("tokens") ?? scalingTokens),
            evidence is null ? null : evidence.Interventions ?? Without<InterventionResults>("effects", noInterventions is not null ? $"left out: {noInterventions}" : !common ? CommonSpace.NoInterventions : chats ? "the evidence stage left the interventions out" : "the run has no held-out chats"),
            evidence is null || latents is null ? [] : Cards(evidence, rows),
            evidence is null ? null : evidence.Behaviours ?? Without<BehaviourResults>("behaviours", chats ? "the held-out chats have no labels" : "the run has no held-out chats"),
            rows,
            training is { Count: > 0 } ? training : null,
            _missing);
    }

    static bool Has(string folder) => File.Exists(Path.Combine(folder, StageManifest.FileName));

    StageManifest Use(string folder, StageManifest manifest)
    {
        stages.Add((run.Relative(folder), manifest));
        return manifest;
    }

    void UseIf(string folder, StageManifest? manifest)
    {
        if (manifest is not null)
        {
            Use(folder, manifest);
        }
    }

    void Explain(bool there, string verb, params ReadOnlySpan<string> sections)
    {
        foreach (string section in sections)
        {
            if (!there)
            {
                _missing.TryAdd(section, $"the {verb} stage has not run here (diffract {verb} … --name {name})");
            }
        }
    }

    T? Without<T>(string section, string why)
        where T : class
    {
        _missing[section] = why;
        return null;
    }

    ReportSetup Settings(StageManifest made, bool loaded, int rows)
    {
        JsonObject s = made.Settings, f = made.Facts;
        JsonObject published = Published();
        // One model, or a difference of two: what it explains is no model's of the pair.
        bool sae = s["sae"] is not null || published.Text("dict_class") == "BatchTopKSAE";
        string kind = sae ? "SAE" : (CrosscoderKinds.FromName(s.Text("kind")) ?? CrosscoderKinds.FromClass(published.Text("dict_class")) ?? CrosscoderKind.BatchTopK).ToString();
        double threshold = f.Number("threshold");
        return new ReportSetup(
            kind, loaded, (int)(s.Integer("latents") ?? published.Integer("dict_size") ?? rows), (int?)(s.Integer("k") ?? published.Integer("k")), Optional(s.Number("mu")), loaded ? null : s.Integer("steps"),
            loaded ? null : (int?)s.Integer("batch"), loaded ? null : Optional(s.Number("learningRate")), loaded ? null : (int?)s.Integer("seed"),
            f.Number("l0"), f.Number("deadShare"), f.Number("fvePooled"), f.Number("fveMeanOfBatches"), sae ? [] : f.Numbers("fveByModel"),
            kind == "L1" || threshold < 0 ? double.NaN : threshold, f.Integer("validationTokens") ?? 0);
    }

    /// <summary>The published configuration: a crosscoder that was brought along has nothing else to say what it is.</summary>
    JsonObject Published()
    {
        string path = Path.Combine(run.Crosscoder(name), CrosscoderFolder.ConfigFile);
        return File.Exists(path) ? JsonNode.Parse(File.ReadAllText(path)) as JsonObject ?? [] : [];
    }

    static double? Optional(double value) => double.IsNaN(value) ? null : value;

    static List<ReportLatent> Rows(LatentTable latents, ScalingTable? scaling, EvidenceFolder? evidence)
    {
        Dictionary<int, double> templates = evidence?.TemplateShares.ToDictionary(t => t.Latent, t => t.Share) ?? [];
        IReadOnlyDictionary<int, IReadOnlyList<string>>? labels = evidence?.Behaviours?.LabelsByLatent;
        IEnumerable<ReportLatent> rows = latents.Rows.Select((l, i) => Row(
            l, scaling is not null && i < scaling.Rows.Count ? scaling.Rows[i] : null,
            templates.TryGetValue(l.Latent, out double share) ? share : l.TemplateShare,
            labels is not null && labels.TryGetValue(l.Latent, out IReadOnlyList<string>? tracked) ? tracked : []));
        return
        [
            .. rows.OrderByDescending(r => r.Survives).ThenByDescending(r => r.Class == "chat-only").ThenByDescending(r => r.Labels.Count > 0).ThenBy(r => r.Dead)
                .ThenByDescending(r => r.Class == "chat-only" ? r.DeltaNorm : double.IsNaN(r.DeltaNorm) ? -1 : Math.Abs(r.DeltaNorm - 0.5)).ThenBy(r => r.Latent),
        ];
    }

    static ReportLatent Row(LatentRow l, ScalingRow? s, double templateShare, IReadOnlyList<string> labels) => new()
    {
        Latent = l.Latent,
        Class = l.Class switch { LatentClass.ChatOnly => "chat-only", LatentClass.BaseOnly => "base-only", LatentClass.Shared => "shared", _ => "other" },
        Verdict = s?.Verdict switch
        {
            Scaling.Verdict.ChatSpecific => "chat-specific",
            Scaling.Verdict.CompleteShrinkage => "complete shrinkage",
            Scaling.Verdict.Decoupling => "decoupling",
            Scaling.Verdict.Both => "both",
            Scaling.Verdict.Undecided => "undecided",
            _ => "",
        },
        DeltaNorm = l.DeltaNorm,
        DecBaseNorm = l.DecBaseNorm,
        DecChatNorm = l.DecChatNorm,
        DecCosine = l.DecCosine,
        EncBaseNorm = l.EncBaseNorm,
        EncChatNorm = l.EncChatNorm,
        EncDelta = l.EncDelta,
        EncCosine = l.EncCosine,
        NuError = s?.NuError ?? double.NaN,
        NuErrorSe = s?.NuErrorSe ?? double.NaN,
        NuReconstruction = s?.NuReconstruction ?? double.NaN,
        NuReconstructionSe = s?.NuReconstructionSe ?? double.NaN,
        ScalingActive = s?.CountActive ?? 0,
        Active = l.Active,
        Rate = l.Rate,
        RateBos = l.Rates.Bos,
        RateTemplate = l.Rates.Template,
        RateUser = l.Rates.User,
        RateAssistant = l.Rates.Assistant,
        RatePlain = l.Rates.Plain,
        RateSystem = l.Rates.System,
        MaxActivation = l.MaxActivation,
        MeanActivation = l.MeanActivation,
        TemplateShare = templateShare,
        Dead = l.Dead,
        Labels = labels,
    };

    List<ReportCard> Cards(EvidenceFolder evidence, List<ReportLatent> rows)
    {
        Dictionary<int, ReportLatent> byLatent = rows.ToDictionary(r => r.Latent);
        List<ReportCard> cards =
        [
            .. evidence.Examples.Where(e => byLatent.ContainsKey(e.Latent)).Take(ReportCard.Most)
                .Select((e, i) => new ReportCard(i + 1, byLatent[e.Latent], [.. e.Top.Take(ReportCard.TopExamples).Select(Crop)], Lower(e))),
        ];
        if (cards.Count == 0)
        {
            _missing["cards"] = "no latent fires on the held-out text";
        }

        return cards;
    }

    /// <summary>The bins below the highest, which the strongest examples come from.</summary>
    static List<ReportExamples> Lower(LatentExamples examples)
    {
        List<ReportExamples> lower = [];
        for (int i = Math.Min(examples.Quantiles.Count, LatentExamples.QuantileEdges.Count) - 2; i >= 0; i--)
        {
            double from = i == 0 ? 0 : LatentExamples.QuantileEdges[i - 1], to = LatentExamples.QuantileEdges[i];
            if (examples.Quantiles[i].Count > 0)
            {
                lower.Add(new ReportExamples($"{ReportNumbers.Percent(from)} to {ReportNumbers.Percent(to)} of its maximum", [.. examples.Quantiles[i].Take(2).Select(Crop)]));
            }
        }

        return lower;
    }

    static TokenExample Crop(TokenExample e)
    {
        if (e.Tokens.Length <= ReportCard.Window)
        {
            return e;
        }

        int from = Math.Clamp(e.Peak - (ReportCard.Window * 2 / 3), 0, e.Tokens.Length - ReportCard.Window);
        Range range = from..(from + ReportCard.Window);
        return e with { FirstToken = e.FirstToken + from, Tokens = e.Tokens[range], Activations = e.Activations[range], Roles = e.Roles[range], Peak = e.Peak - from };
    }
}
