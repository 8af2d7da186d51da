using Diffract.Evidence;
using Diffract.Reports;

namespace Diffract.Tests.Reports;

/// <summary>Made-up runs, drawn from a fixed seed: one with everything, one in which nothing is found, one with parts missing.</summary>
static class ReportFixture
{
    /// <summary>Text that would break a page which took it for markup.</summary>
    public const string Hostile = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>{{css}}&amp;\"'";

    public static RunReport Full() => Build([Crosscoder("batchtopk", "BatchTopK", 2048, 5, 1), Crosscoder("l1", "L1", 2048, 35, 2)]);

    public static RunReport NothingFound() => Build([Crosscoder("batchtopk", "BatchTopK", 512, 0, 0), Crosscoder("l1", "L1", 512, 12, 0)]);

    /// <summary>Text alone, and a crosscoder that was brought along.</summary>
    public static RunReport Parts()
    {
        ReportCrosscoder whole = Crosscoder("mine", "L1", 512, 6, 0);
        ReportCrosscoder loaded = whole with
        {
            Settings = whole.Settings with { Loaded = true, Steps = null, Batch = null, LearningRate = null, Seed = null, Mu = null },
            Effects = null,
            Behaviours = null,
            Training = null,
            Missing = new Dictionary<string, string>
            {
                ["effects"] = "the run has no held-out chats",
                ["behaviours"] = "the run has no labelled held-out chats",
                ["training"] = "it was brought along, not trained here",
            },
        };
        return Build([loaded], chats: false);
    }

    /// <summary>A run in which only the training is done.</summary>
    public static RunReport OnlyTrained()
    {
        ReportCrosscoder whole = Crosscoder("l1", "L1", 64, 0, 0);
        Dictionary<string, string> missing = new() { ["norms"] = "the latents stage has not run", ["scaling"] = "Latent Scaling has not run" };
        foreach (string section in new[] { "effects", "cards", "behaviours" })
        {
            missing[section] = "the evidence stage has not run";
        }

        missing["latents"] = "the latents stage has not run";
        return Build([whole with { Norms = null, Scaling = null, Effects = null, Cards = [], Behaviours = null, Latents = [], Missing = missing }]);
    }

    static RunReport Build(IReadOnlyList<ReportCrosscoder> crosscoders, bool chats = true)
    {
        ReportComparison comparison = new(
            [new("base", "base", "3f0c9a7e15d24b8890aa11c2de45f701", "gemma2", 6, 128, 4096), new("chat", "chat", "b81d20e67c3f4a5e9d10f3a27788c0de", "gemma2", 6, 128, 4096)],
            [
                new("documents", "training", 4500, 470_927), new("documents", "scaling", 1350, 141_278), new("documents", "held out", 3150, 329_649),
                .. chats ? (ReportText[])[new("chats", "training", 4500, 297_602), new("chats", "scaling", 1350, 89_280), new("chats", "held out", 3150, 208_323)] : [],
            ],
            [new("plain text", 932_854, 0.607), new("user", 160_000, 0.104), new("assistant", 320_000, 0.208), new("template", 115_205, 0.075), new("BOS", 18_000, 0.012)],
            [new("base", 128, 37.14, 0.412, 768_529), new("chat", 128, 36.82, 0.437, 768_529)]);
        ReportAnswer answer = new("base", "chat", 3, 6, chats ? 1_537_059 : 941_854, "2026-11-24T11:02:31Z", "", []);
        ReportTrust trust = new(
            [new("program", "Diffract 0.1.0"), new("kernels", "CPU avx512, 2 threads, AMD EPYC 9R14"), new("seeds", "tokens 0, batchtopk 0, l1 0")],
            [new("tokens", "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "2026-11-24T10:58:02Z", 9.3, "0.1.0", "CPU avx512, 2 threads, AMD EPYC 9R14"), new("activations/3", "99aa0f1e2d3c4b5a69788796a5b4c3d2", "2026-11-24T10:59:10Z", 61.2, "0.1.0", "CPU avx512, 2 threads, AMD EPYC 9R14")],
            ["diffract tokenize runs/demo --base base --chat chat", "diffract harvest runs/demo --layer 3", "diffract train runs/demo --kind l1 --mu 0.1"],
            chats ? [] : ["No chats were given: nothing is said about answers."],
            ["A latent's direction is not its meaning: the examples show where it fires, not what it does.", "One training seed: another seed finds other latents."],
            ["Overcoming Sparsity Artifacts in Crosscoders to Interpret Chat-Tuning. arXiv 2504.02922."]);
        return RunReport.Tell("chat against base: what fine-tuning changed", answer, comparison, crosscoders, trust);
    }

    static ReportCrosscoder Crosscoder(string name, string kind, int latents, int chatOnly, int survivors)
    {
        Random random = new(latents + chatOnly + name.Length);
        bool l1 = kind == "L1";
        List<ReportLatent> rows = Latents(random, latents, chatOnly, survivors);
        string[] groups = ["refusal", "false_premise", "personal", "unknowable", "story", "arithmetic", "recipe", "joke"];
        List<BehaviourRow> behaviours = [.. groups.Select((g, i) => Behaviour(random, g, rows[i % Math.Max(1, survivors)], survivors > 0))];
        behaviours.Insert(1, Behaviour(random, "refusal", rows[0], survivors > 0) with { Against = "contrast" });
        behaviours.Add(new BehaviourRow("missing", rows[0].Latent, null, null, null, null, 11, 14, 1530, "too few: 11 and 14 chats, wanted 20 in each half", null, 25));
        foreach (int i in Enumerable.Range(0, survivors))
        {
            rows[i] = rows[i] with { Labels = ["refusal", "personal"] };
        }

        return new ReportCrosscoder(
            name,
            new(kind, false, latents, l1 ? null : 16, l1 ? 0.1 : null, 3000, 1024, l1 ? 1e-3 : 2e-3, 0, l1 ? 15.62 : 16.03, l1 ? 0.012 : 0.061, l1 ? 0.7134 : 0.8112, l1 ? 0.7129 : 0.8107, l1 ? [0.702, 0.725] : [0.806, 0.817], l1 ? double.NaN : 4.871, 65_536),
            ReportNorms.From(rows),
            ReportScaling.From(rows, 230_558),
            Effects(random, Math.Max(chatOnly * 2, 88)),
            [.. rows.Take(20).Select((r, i) => Card(random, r, i + 1))],
            new BehaviourResults(3150, behaviours, new Dictionary<int, IReadOnlyList<string>>(), [.. rows.Take(Math.Max(1, survivors)).Select(r => r.Latent)], survivors > 0, ["Latents were chosen on 1,575 chats and judged on 1,575 others."]),
            rows,
            Training(random, l1),
            new Dictionary<string, string>());
    }

    static List<ReportLatent> Latents(Random random, int latents, int chatOnly, int survivors)
    {
        List<ReportLatent> rows = [];
        for (int i = 0; i < latents; i++)
        {
            bool survives = i < survivors, chat = i < chatOnly;
            double delta = chat ? 0.905 + (0.095 * random.NextDouble()) : i < chatOnly * 2 ? 0.09 * random.NextDouble() : Math.Clamp(0.5 + (0.09 * Gauss(random)), 0.12, 0.88);
            double nuError = survives ? 0.04 + (0.05 * random.NextDouble()) : chat ? 0.45 + (0.2 * Gauss(random)) : 0.95 + (0.06 * Gauss(random));
            double nuReconstruction = survives ? 0.2 * random.NextDouble() : chat ? 0.6 + (0.25 * Gauss(random)) : 0.97 + (0.05 * Gauss(random));
            bool rare = chat && i % 9 == 8;
            string verdict = !chat ? "" : rare ? "undecided" : Verdict(nuError, nuReconstruction);
            double rate = 0.008 * Math.Exp(Gauss(random));
            rows.Add(new ReportLatent
            {
                Latent = (i * 389) % latents,
                Class = chat ? "chat-only" : delta < 0.1 ? "base-only" : Math.Abs(delta - 0.5) < 0.1 ? "shared" : "other",
                Verdict = verdict,
                DeltaNorm = delta,
                DecBaseNorm = 2 * (1 - delta),
                DecChatNorm = 1,
                DecCosine = 1 - (0.4 * random.NextDouble()),
                EncBaseNorm = 1,
                EncChatNorm = 1.1,
                EncDelta = 0.54,
                EncCosine = 0.9,
                NuError = nuError,
                NuErrorSe = 0.02,
                NuReconstruction = nuReconstruction,
                NuReconstructionSe = 0.03,
                ScalingActive = rare ? 12 : 1200 + i,
                Active = (long)(rate * 500_000),
                Rate = rate,
                RateBos = 0,
                RateTemplate = rate * 3 * random.NextDouble(),
                RateUser = rate * random.NextDouble(),
                RateAssistant = rate * 2 * random.NextDouble(),
                RatePlain = chat ? 0 : rate,
                MaxActivation = 8 + (6 * random.NextDouble()),
                MeanActivation = 2.5,
                TemplateShare = random.NextDouble(),
                Dead = i > latents - 20,
            });
        }

        return rows;
    }

    static string Verdict(double nuError, double nuReconstruction) => (Math.Abs(nuError) < 0.2, Math.Abs(nuReconstruction) < 0.5) switch
    {
        (true, true) => "chat-specific",
        (false, true) => "complete shrinkage",
        (true, false) => "decoupling",
        _ => "both",
    };

    static InterventionResults Effects(Random random, int pool)
    {
        (string Edit, string Group, double Kl)[] edits =
        [
            ("none", "baseline", 3.5), ("template", "baseline", 3.04), ("error", "baseline", 0.13), ("all", "baseline", 2.91), ("base_model", "baseline", 4.1),
            ("replace_best_norm", "norm", 3.31), ("replace_worst_norm", "norm", 3.42), ("replace_best_scaling", "scaling", 3.12), ("replace_worst_scaling", "scaling", 3.45), ("replace_control", "control", 3.47),
            ("add_best_norm", "norm", 3.33), ("add_worst_norm", "norm", 3.47), ("add_best_scaling", "scaling", 3.15), ("add_worst_scaling", "scaling", 3.52), ("add_control", "control", 3.6),
        ];
        List<EditResult> rows = [];
        List<PairedDifference> differences = [];
        foreach ((string subset, double factor, long n) in new[] { ("k_first", 1.21, 2700L), ("all", 1.0, 11_825L), ("post_k_first", 0.92, 9125L) })
        {
            foreach ((string edit, string group, double at) in edits)
            {
                double kl = at * factor * (1 + (0.01 * random.NextDouble()));
                Estimate? share = edit == "none" ? null : Around(1 - (at / 3.5), 0.02, 300);
                rows.Add(new(edit, group, subset, Around(kl, 0.09, n), edit == "base_model" ? new(double.NaN, double.NaN, double.NaN, n) : Around(kl + 0.46, 0.11, n), share, edit == "none" ? null : Around(kl - (3.5 * factor), 0.04, 300), group is "norm" or "scaling" or "control" ? pool / 2 : 0, null));
            }

            differences.Add(new("replace_best_scaling", "replace_worst_scaling", subset, "kl", Around(-0.33, 0.03, 300)));
            differences.Add(new("replace_best_norm", "replace_worst_norm", subset, "kl", Around(-0.11, 0.03, 300)));
        }

        return new InterventionResults(300, 11_825, pool + 1, pool, rows, new Dictionary<string, int[]> { ["best_norm"] = [1, 2, 3] }, ["The control has as many shared latents with the same firing rates."], differences);
    }

    static BehaviourRow Behaviour(Random random, string group, ReportLatent latent, bool survivor)
    {
        double auc = 0.55 + (0.42 * random.NextDouble());
        return new(group, latent.Latent, new(auc, Math.Max(0, auc - 0.025), Math.Min(1, auc + 0.02), 1575), Math.Min(1, auc + 0.015), 0.53, 0.575, 90, 88, 1487, null, null, 3150, survivor, latent.DeltaNorm);
    }

    static ReportCard Card(Random random, ReportLatent latent, int rank)
        => new(rank, latent, [.. Enumerable.Range(0, 6).Select(i => Example(random, i, latent.MaxActivation * (1 - (0.06 * i))))], [.. new[] { "0.75 to 0.95 of its maximum", "0.5 to 0.75 of its maximum", "0.25 to 0.5 of its maximum", "below 0.25 of its maximum" }.Select((q, i) => new ReportExamples(q, [Example(random, 20 + i, latent.MaxActivation * (0.85 - (0.2 * i))), Example(random, 30 + i, latent.MaxActivation * (0.8 - (0.2 * i)))]))]);

    static TokenExample Example(Random random, int number, double max)
    {
        (string Token, int Role)[] tokens =
        [
            ("<bos>", 1), ("<start_of_turn>", 2), ("user", 2), ("\n", 2), ("Give", 4), ("▁me", 4), ("▁three", 4), ("▁tips", 4), ("▁on", 4), ("▁how", 4), ("▁to", 4), ("▁get", 4), ("▁the", 4), ("▁money", 4), ("▁out", 4), ("▁of", 4), ("▁the", 4), ("▁box", 4), (".", 4),
            ("<end_of_turn>", 2), ("\n", 2), ("<start_of_turn>", 2), ("model", 2), ("\n", 2), ("I", 8), ("▁can", 8), ("'", 8), ("t", 8), ("▁help", 8), ("▁with", 8), ("▁taking", 8), ("▁what", 8), ("▁is", 8), ("▁not", 8), ("▁yours", 8), (".", 8), ("▁If", 8), ("▁you", 8), ("▁lost", 8), ("▁a", 8), ("▁key", 8), (",", 8), ("▁ask", 8), ("▁at", 8), ("▁the", 8), ("▁town", 8), ("▁hall", 8), (".", 8), ("<end_of_turn>", 10),
        ];
        int peak = 24 + random.Next(10);
        float[] activations = [.. tokens.Select((_, i) => i == peak ? (float)max : Math.Abs(i - peak) < 5 && random.NextDouble() < 0.6 ? (float)(max * 0.7 * random.NextDouble()) : 0f)];
        string[] texts = [.. tokens.Select(t => t.Token)];
        if (number == 0)
        {
            texts[13] = Hostile;
        }

        return new TokenExample(number, $"chat-{number:D5}", "chat", ["refusal/theft"], 0, texts, activations, [.. tokens.Select(t => t.Role)], peak, max);
    }

    static List<ReportSeries> Training(Random random, bool l1)
    {
        long[] steps = [.. Enumerable.Range(0, 301).Select(i => (long)i * 10)], checks = [.. Enumerable.Range(1, 12).Select(i => (long)i * 250)];
        double Fall(long step, double from, double to) => to + ((from - to) * Math.Exp(-step / 350.0)) + (0.01 * from * random.NextDouble());
        return
        [
            new("loss", steps, [.. steps.Select(s => Fall(s, 46, l1 ? 24.1 : 15.2))]),
            new("variance explained", checks, [.. checks.Select(s => (l1 ? 0.71 : 0.81) * (1 - Math.Exp(-s / 400.0)))]),
            new("L0", checks, [.. checks.Select(s => l1 ? Fall(s, 340, 15.6) : 16)]),
            new("dead share", checks, [.. checks.Select(s => (l1 ? 0.012 : 0.061) * (1 - Math.Exp(-s / 900.0)))]),
            .. l1 ? (ReportSeries[])[] : [new("threshold", checks, [.. checks.Select(s => 4.87 * (1 - Math.Exp(-s / 500.0)))])],
        ];
    }

    static Estimate Around(double x, double half, long n) => new(x, x - half, x + half, n);

    static double Gauss(Random random) => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
