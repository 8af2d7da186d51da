namespace Diffract.Formats.Hub;

/// <summary>A request that may be repeated.</summary>
/// <param name="message">What happened.</param>
/// <param name="advanced">Whether the file grew before it happened: then it does not count as one more failure in a row.</param>
/// <param name="pause">How long the server wants to be left alone, if it said so.</param>
sealed class HubInterruption(string message, bool advanced = false, TimeSpan? pause = null) : Exception(message)
{
    public bool Advanced => advanced;

    public TimeSpan? Pause => pause;
}
