using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Diffract.Latents;
using Diffract.Runs;
using Diffract.Scaling;
using Diffract.Tokens;

namespace Diffract.Evidence;

/// <summary>
/// The evidence stage: examples and template shares of the most chat-specific latents, the behaviours they track, and what their edits do to the chat model's predictions, into
/// <c>evidence/&lt;name&gt;/</c>.
/// </summary>
public static class EvidenceStage
{
    public static void Run(StageContext context, EvidenceSettings settings)
    {
        Check(settings);
        RunFolder run = context.Run;
        string folder = run.Evidence(settings.Name), crosscoder = run.Crosscoder(settings.Name);
        using TokenStore tokens = TokenStore.Open(run);
        tokens.RequireModels(run, ModelsKnown.Tokenizer);
        StageManifest trained = Provenance.Require(run, crosscoder, $"diffract train {run.Root} --name {settings.Name}");
        LatentTable latents = LatentTable.Open(run, settings.Name);
        LayerPair layer = ScanInputs.LayerOf(trained, settings.Name);
        bool common = CommonSpace.Of(run, layer);
        ScalingTable? scaling = common ? ScalingTable.Open(run, settings.Name) : null;
        IReadOnlyList<ScalingRow> ratios = scaling?.Rows ?? [.. latents.Rows.Select(l => ScalingRow.Unjudged(l.Latent, l.DeltaNorm))];
        StageManifest plan = new()
        {
            Stage = "evidence",
            Settings = settings.Describe(layer),
            Inputs =
            {
                [run.Relative(run.Tokens)] = tokens.Manifest.Fingerprint(),
                [run.Relative(crosscoder)] = trained.Fingerprint(),
                [run.Relative(run.Latents(settings.Name))] = latents.Manifest.Fingerprint(),
            },
        };
        if (scaling is not null)
        {
            plan.Inputs[run.Relative(run.Scaling(settings.Name))] = scaling.Manifest.Fingerprint();
        }

        if (context.AlreadyDone(folder, plan, settings.Share))
        {
            context.Progress.Done("evidence " + settings.Name, "evidence is there already");
            return;
        }

        Stopwatch clock = Stopwatch.StartNew();
        InterventionStep? interventions = !common ? null : InterventionStep.Plan(context, tokens, layer, latents.Rows, ratios, settings);
        using UnitFolder units = new(folder, settings.Share, InterventionStep.Files(interventions), context);
        if (!EvidenceUnits.AllPublished(context, settings, units, interventions))
        {
            return;
        }

        EvidenceFolder evidence = Gather(context, tokens, latents.Rows, ratios, settings) with { Manifest = plan, Interventions = interventions?.Results(units) };
        Dictionary<string, FileSeal> outputs = evidence.Save(units.Making);
        foreach ((string file, FileSeal seal) in outputs)
        {
            units.PlaceOutput(file, seal);
        }

        bool first = context.Finish(units, folder, plan with { Outputs = outputs, Facts = Facts(evidence, common, tokens.NoInterventions), Seconds = clock.Elapsed.TotalSeconds });
        context.Progress.Done("evidence " + settings.Name, first ? Summary(evidence) : "closed by another process");
    }

    /// <summary>The latents that get examples: the most chat-specific ones, those that behaviours named, then chat-only ones, up to the cap.</summary>
    public static int[] Shown(IReadOnlyList<LatentRow> latents, IReadOnlyList<ScalingRow> scaling, BehaviourResults? behaviours, EvidenceSettings settings)
    {
        LatentRow[] order = [.. BehaviourStep.ByDeltaNorm(latents)];
        IEnumerable<int> survivors = order.Where(l => scaling[l.Latent].Verdict == Verdict.ChatSpecific).Select(l => l.Latent);
        IEnumerable<int> first = survivors.Concat(order.Select(l => l.Latent)).Distinct().Take(settings.ShownLatents);
        IEnumerable<int> named = behaviours?.Rows.Where(r => r.Latent is not null).Select(r => r.Latent!.Value) ?? [];
        IEnumerable<int> chatOnly = order.Where(l => l.Class == LatentClass.ChatOnly).Select(l => l.Latent);
        return [.. first.Concat(named).Concat(survivors).Concat(chatOnly).Distinct().Take(Math.Max(settings.ShownLatents, settings.MostLatents))];
    }

    /// <summary>All but the interventions.</summary>
    static EvidenceFolder Gather(StageContext context, TokenStore tokens, IReadOnlyList<LatentRow> latents, IReadOnlyList<ScalingRow> scaling, EvidenceSettings settings)
    {
        using LatentActivations activations = LatentActivations.Open(context.Run, settings.Name);
        BehaviourResults? behaviours = BehaviourStep.Run(tokens, activations, latents, scaling, settings, context.Stop);
        ExampleBuilder builder = new(tokens, Tokenizer.Load(tokens.ChatModel), activations.DocumentNumbers, settings);
        List<LatentExamples> examples = [];
        List<TemplateShare> shares = [];
        int[] shown = Shown(latents, scaling, behaviours, settings);
        foreach (int latent in shown)
        {
            context.Stop.ThrowIfCancellationRequested();
            (LatentExamples latentExamples, TemplateShare share) = builder.Build(latent, activations.OfLatent(latent));
            examples.Add(latentExamples);
            shares.Add(share);
            context.Progress.Report($"evidence {settings.Name}: examples", examples.Count, shown.Length, "latents");
        }

        return new EvidenceFolder
        {
            Manifest = new StageManifest { Stage = "evidence", Settings = [] },
            Examples = examples,
            TemplateShares = tokens.Documents.Any(d => d.Source == TextSource.Chat && d.Split == Split.HeldOut) ? shares : [],
            Behaviours = behaviours,
        };
    }

    static void Check(EvidenceSettings settings)
    {
        (string Option, int Value)[] positive =
        [
            ("--conversations", settings.Conversations), ("--resamples", settings.Resamples), ("--shuffles", settings.Shuffles), ("--latents", settings.ShownLatents), ("--window", settings.Window),
            ("--unit-conversations", settings.UnitConversations),
        ];
        foreach ((string option, int value) in positive)
        {
            if (value < 1)
            {
                throw DiffractException.Argument(string.Create(CultureInfo.InvariantCulture, $"{option} {value} is too small; wanted at least 1"));
            }
        }
    }

    static JsonObject Facts(EvidenceFolder evidence, bool common, string? noInterventions)
    {
        JsonArray leftOut = [];
        if (!common)
        {
            leftOut.Add("Latent Scaling: " + CommonSpace.NoScaling);
        }

        if (evidence.Interventions is null)
        {
            leftOut.Add("interventions: " + (noInterventions ?? (common ? "no held-out chat with an answer" : CommonSpace.NoInterventions)));
        }

        if (evidence.Behaviours is null)
        {
            leftOut.Add("behaviours: no held-out chat with a label and an answer");
        }

        return new JsonObject { ["examples"] = evidence.Examples.Count, ["conversations"] = evidence.Interventions?.Conversations, ["labelledChats"] = evidence.Behaviours?.HeldOutChats, ["leftOut"] = leftOut };
    }

    static string Summary(EvidenceFolder evidence)
    {
        List<string> parts = [string.Create(CultureInfo.InvariantCulture, $"examples of {evidence.Examples.Count} latents")];
        if (evidence.Interventions is { } interventions)
        {
            double none = Kl("none"), all = Kl("all");
            parts.Add(string.Create(CultureInfo.InvariantCulture, $"KL {none:F3} without an edit, {all:F3} with all latents, over {interventions.Conversations} chats"));
            double Kl(string edit) => interventions.Edits.First(e => e.Edit == edit && e.Subset == Subset.All).Kl.Value;
        }

        if (evidence.Behaviours is { } behaviours)
        {
            parts.Add(string.Create(
                CultureInfo.InvariantCulture,
                $"{behaviours.Clear()} of {behaviours.Measured().Count} behaviours at an AUC of {BehaviourResults.ClearAuc:F2} or more, {behaviours.Tracked().Count} above shuffled labels, in {behaviours.HeldOutChats:N0} chats{(behaviours.CandidatesAreSurvivors ? "" : " (by latents that did not survive)")}"));
        }

        return string.Join("; ", parts);
    }
}
