using System.Globalization;
using Diffract.Runs;

namespace Diffract.Evidence;

/// <summary>Brings a process's share of the interventions about, and says whether the stage can be closed.</summary>
static class EvidenceUnits
{
    /// <summary>False: this process is done, and somebody else closes the stage or has closed it.</summary>
    /// <exception cref="DiffractException">A published unit is damaged; it has been taken back.</exception>
    public static bool AllPublished(StageContext context, EvidenceSettings settings, UnitFolder units, InterventionStep? interventions)
    {
        string what = "evidence " + settings.Name;
        if (interventions is null)
        {
            // Nothing to share out: one task is enough.
            if (settings.Share is { Task: > 0 } idle)
            {
                context.Progress.Done(what, string.Create(CultureInfo.InvariantCulture, $"nothing for task {idle.Task} of {idle.Of}: there are no interventions, and task 0 gathers the rest"));
                return false;
            }

            return true;
        }

        interventions.Measure(units);
        if (Complete(context, settings, units) is not { } published)
        {
            return false;
        }

        string[] faults = TakeBack(units, interventions, published);
        if (faults.Length > 0 && settings.Share is null)
        {
            // Where one process makes everything it makes this again too.
            context.Progress.Warn(string.Join("; ", faults) + "; made again");
            interventions.Measure(units);
            published = Complete(context, settings, units);
            faults = published is null ? [] : TakeBack(units, interventions, published);
        }

        return faults.Length == 0
            ? published is not null
            : throw new DiffractException($"{string.Join("; ", faults)}; taken back: run its task again, or `diffract evidence {context.Run.Root} --name {settings.Name}`");
    }

    /// <summary>All units, or null where some are missing or the stage is closed.</summary>
    static IReadOnlyDictionary<int, UnitManifest>? Complete(StageContext context, EvidenceSettings settings, UnitFolder units)
    {
        string what = "evidence " + settings.Name;
        IReadOnlyDictionary<int, UnitManifest> published = units.Published();
        if (units.Closed)
        {
            context.Progress.Done(what, "closed by another process");
            return null;
        }

        int[] missing = [.. Enumerable.Range(0, units.Count).Where(u => !published.ContainsKey(u))];
        if (missing.Length == 0)
        {
            return published;
        }

        string how = UnitFolder.Missing(missing, units.Count, settings.Share?.Of ?? 1);
        TaskShare share = settings.Share ?? throw new DiffractException($"{context.Run.Relative(context.Run.Evidence(settings.Name))} has been changed by another process meanwhile: {how}; call the same command again");
        context.Progress.Done(what, string.Create(
            CultureInfo.InvariantCulture, $"task {share.Task} of {share.Of} is done; {how}; the last task, or `diffract evidence {context.Run.Root} --name {settings.Name}`, closes the stage"));
        return null;
    }

    static string[] TakeBack(UnitFolder units, InterventionStep interventions, IReadOnlyDictionary<int, UnitManifest> published)
    {
        (int Unit, string Why)[] faults = [.. published.Values.Select(m => (m.Unit, Why: units.Fault(m) ?? interventions.Fault(units, m.Unit))).Where(f => f.Why is not null).Select(f => (f.Unit, f.Why!))];
        Array.ForEach(faults, f => units.Withdraw(f.Unit));
        return [.. faults.Select(f => f.Why)];
    }
}
