/* What a result says about itself: its `notices`, of which some are the reasons of the verdict. */

/** Notices that limit how far a result can be relied on. */
export const warningsOf = ({ notices }) => notices.filter(({ reason, severity }) => !reason && severity !== "info");
