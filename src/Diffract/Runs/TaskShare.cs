using System.Globalization;

namespace Diffract.Runs;

/// <summary>What one of several processes makes of a stage: the units whose number, divided by <paramref name="Of"/>, leaves the remainder <paramref name="Task"/>.</summary>
/// <param name="Task">From 0.</param>
/// <param name="Of">How many processes there are.</param>
public sealed record TaskShare(int Task, int Of)
{
    /// <summary>The options <c>--task</c> and <c>--of</c>; null: one process makes everything.</summary>
    public static TaskShare? Parse(int? task, int? of) => (task, of) switch
    {
        (null, null) => null,
        (null, _) => throw DiffractException.Argument($"--of {Number(of.Value)} stands without --task; wanted both, such as --task 0 --of {Number(of.Value)}"),
        (_, null) => throw DiffractException.Argument($"--task {Number(task.Value)} stands without --of; wanted how many tasks there are, such as --task {Number(task.Value)} --of 16"),
        _ when of < 1 => throw DiffractException.Argument($"--of {Number(of.Value)} is too small; wanted at least 1"),
        _ when task < 0 || task >= of => throw DiffractException.Argument($"--task {Number(task.Value)} is out of range; wanted 0 to {Number(of.Value - 1)}, tasks are counted from 0"),
        _ => new TaskShare(task.Value, of.Value),
    };

    public bool Takes(int unit) => unit % Of == Task;

    /// <summary>As it is given on the command line.</summary>
    public override string ToString() => $"--task {Number(Task)} --of {Number(Of)}";

    static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);
}
